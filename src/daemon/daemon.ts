import type { RemovedImage } from '../engine/images/names.js';
import { PullBudget } from '../engine/pull/pull-budget.js';
import type { Store } from '../engine/store.js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import type { Abortable } from '../errors.js';
import type { Credentials, RegistryClient } from '../registry/index.js';
import type { PolicyDirectory, PolicyFile } from '../trust/index.js';
import { ContainerdImages, type ContainerdImagesOptions } from './containerd/containerd-images.js';
import { OwnOffers } from './containerd/labels.js';
import { imageService } from './cri/image-service.js';
import { NodeImages } from './cri/node-images.js';
import { runtimeService } from './cri/runtime-service.js';
import { writeDaemonFile } from './daemon-file.js';
import { type CallOptions, streaming, type StreamingMethod, unary, type UnaryMethod } from './grpc/calls.js';
import { GrpcServer, type ProtoFile, readProto, type ServedService, serviceOf } from './grpc/grpc-server.js';
import { PrePull, type PrePullOptions } from './pre-pull.js';
import { KeptCredentials } from './pulls/credentials.js';
import { type EndedPull, Pulls, type PullsOptions } from './pulls/pulls.js';
import { RemoteLayers } from './snapshots/remote-layers.js';
import { SnapshotAdmission } from './snapshots/snapshot-admission.js';
import { snapshotsService, type SnapshotsServiceOptions } from './snapshots/snapshots-service.js';
import { transfersService } from './transfers/transfers-service.js';

export interface DaemonOptions {
  readonly store: Store;
  /** With the daemon's own credentials. */
  readonly registry: RegistryClient;
  /** What says which signatures images need; absent where they need none. */
  readonly policy?: PolicyFile | undefined;
  /** For the pods of namespaces that have policies of their own. */
  readonly policies?: PolicyDirectory | undefined;
  /** Path of the socket that it listens at. */
  readonly socket: string;
  /** Of this program, as semver. */
  readonly version: string;
  /** Images pulled at once, and of one registry; default: as many as are asked for. */
  readonly maxParallelPulls?: number | undefined;
  readonly maxParallelPullsPerRegistry?: number | undefined;
  /** Layers that are downloaded and unpacked at once by all pulls together. */
  readonly concurrency?: number | undefined;
  /** How long a pull may make no progress, in milliseconds; 0: for ever. */
  readonly progressTimeoutMs: number;
  readonly discardLayers: boolean;
  /** Names under which pulls may ask for this node's images, besides none. */
  readonly runtimeHandlers: readonly string[];
  /** Images that are never to be collected: canonical names, or globs over them. */
  readonly pins: readonly string[];
  /** A list of images that are to be here; see {@link PrePull}. */
  readonly prePull?: Pick<PrePullOptions, 'file' | 'onProblem'> | undefined;
  /** Serves a containerd its snapshots, where there is one; see {@link SnapshotterOptions}. */
  readonly snapshotter?: SnapshotterOptions | undefined;
  /** Lets a containerd know the images that are here, through that snapshotter. */
  readonly containerd?:
    Pick<ContainerdImagesOptions, 'socket' | 'onProblem' | 'onRegistered' | 'onForgotten'> | undefined;
  /** Observers of the pulls: metrics, traces. */
  readonly observers?: readonly PullsObserver[] | undefined;
  readonly onBegun?: ((id: string, reference: string) => void) | undefined;
  readonly onEnded?: ((ended: EndedPull) => void) | undefined;
  /** Called for each name of an image that a client removed. */
  readonly onRemoved?: ((removed: RemovedImage) => void) | undefined;
  /** Called for each error that a client gets. */
  readonly onError: CallOptions['onError'];
}

/** containerd's proxy plugin. */
export interface SnapshotterOptions extends Pick<SnapshotsServiceOptions, 'onLayer' | 'onFreed'> {
  /** Path of the socket that it listens at. */
  readonly socket: string;
}

/** Attached before the first pull is made. */
export interface PullsObserver {
  follow(pulls: Pulls): void;
}

interface DaemonParts {
  readonly pulls: Pulls;
  readonly images: NodeImages;
  readonly server: GrpcServer;
  readonly snapshotter: SnapshotterParts | undefined;
  readonly containerd: ContainerdImages | undefined;
  readonly prePull: PrePull | undefined;
  /** What says where it listens. */
  readonly file: AsyncDisposable;
}

interface SnapshotterParts {
  readonly server: GrpcServer;
  readonly remote: RemoteLayers;
}

/** A node's gRPC services over one store: CRI's image service, and landfall's own transfers. */
export class Daemon {
  readonly pulls: Pulls;
  readonly images: NodeImages;
  readonly #parts: DaemonParts;
  #stopping = false;

  private constructor(parts: DaemonParts) {
    this.pulls = parts.pulls;
    this.images = parts.images;
    this.#parts = parts;
  }

  /**
   * Serves until it is stopped.
   *
   * @throws LandfallError IN_USE (another process listens at the socket), FILESYSTEM, INVALID_CONFIG (the
   *   list of images)
   */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const { store } = options;
    let containerd: ContainerdImages | undefined;
    const pulls = pullsFor(options, async (name, o) => await containerd?.settled(name, o));
    const images = new NodeImages(store);
    const { socket, pins } = options;
    const prePull =
      options.prePull === undefined
        ? undefined
        : new PrePull({
            ...options.prePull,
            pulls,
            images,
            pin: (names) => store.daemonPins.replace(socket, [...pins, ...names]),
          });
    const credentials = new KeptCredentials();
    const onRemoved = async (removed: RemovedImage, o: Abortable): Promise<void> => {
      options.onRemoved?.(removed);
      // A containerd that is away learns of it when it is back.
      const late = AbortSignal.timeout(FORGOTTEN_MS);
      const signal = o.signal === undefined ? late : AbortSignal.any([o.signal, late]);
      await containerd?.settled(removed.name, { signal }).catch(() => undefined);
    };
    const serving = { ...options, images, pulls, credentials, onRemoved };
    const cri = 'runtime-v1.proto';
    const server = await GrpcServer.listen(options.socket, [
      served(cri, 'runtime.v1.RuntimeService', { ...runtimeService(options) }, options),
      served(cri, 'runtime.v1.ImageService', { ...imageService(serving) }, options),
      served('transfers-v1.proto', 'landfall.v1.Transfers', { ...transfersService(pulls) }, options),
    ]);
    let snapshotter: SnapshotterParts | undefined;
    try {
      const offers = new OwnOffers();
      snapshotter = await startSnapshotter(options, pulls, credentials, offers);
      // Only now can that containerd ask for what it is given.
      if (options.containerd !== undefined)
        containerd = ContainerdImages.start({ ...options.containerd, store, images, offers });
      await (prePull?.start() ?? store.daemonPins.replace(socket, pins));
      const file = await writeDaemonFile(store.root, { pid: process.pid, socket: options.socket });
      return new Daemon({ pulls, images, server, snapshotter, containerd, prePull, file });
    } catch (error) {
      await Promise.all([
        server.stop(0),
        snapshotter?.server.stop(0),
        containerd?.[Symbol.asyncDispose](),
        prePull?.[Symbol.asyncDispose](),
      ]);
      throw error;
    }
  }

  /** The reason why it cannot serve at the moment, for `/readyz`; undefined when it can. */
  async whyNotReady(): Promise<string | undefined> {
    if (this.#stopping) return 'the daemon is stopping';
    try {
      await this.images.list();
      return undefined;
    } catch (error) {
      return `the store cannot be read: ${(error as Error).message}`;
    }
  }

  /**
   * Stops: begins nothing more, waits for pulls under way, and breaks off what does not end. Each of those
   * leaves what has arrived.
   */
  async stop(patienceMs: number): Promise<void> {
    this.#stopping = true;
    const { file, prePull, server, snapshotter, containerd } = this.#parts;
    await file[Symbol.asyncDispose]();
    await Promise.all([prePull?.[Symbol.asyncDispose](), this.pulls.stop(patienceMs)]);
    await Promise.all([snapshotter?.remote[Symbol.asyncDispose](), containerd?.[Symbol.asyncDispose]()]);
    // Streams that only watch never end by themselves, so the servers do not wait for them.
    await Promise.all([server.stop(LAST_ANSWERS_MS), snapshotter?.server.stop(LAST_ANSWERS_MS)]);
  }
}

/** How long a removal may wait for containerd to forget the image, in milliseconds. */
const FORGOTTEN_MS = 5_000;

/** How long answers to calls that have ended may take to be sent, in milliseconds. */
const LAST_ANSWERS_MS = 1_000;

/** @param onNamed see `PullsOptions.onNamed` */
function pullsFor(options: DaemonOptions, onNamed: NonNullable<PullsOptions['onNamed']>): Pulls {
  const { concurrency, onBegun, onEnded } = options;
  const pulls = new Pulls({
    ...options,
    maxParallel: options.maxParallelPulls,
    maxParallelPerRegistry: options.maxParallelPullsPerRegistry,
    budget: new PullBudget(concurrency === undefined ? {} : { concurrency }),
    onNamed,
  });
  for (const observer of options.observers ?? []) observer.follow(pulls);
  if (onBegun !== undefined) pulls.on('begun', onBegun);
  if (onEnded !== undefined) pulls.on('ended', onEnded);
  // Layers are measured right after a pull, so that a request for sizes need not wait for it.
  pulls.on('ended', () => void options.store.snapshotter.measure().catch(() => undefined));
  return pulls;
}

async function startSnapshotter(
  { store, registry, policy, snapshotter, onError }: DaemonOptions,
  pulls: Pulls,
  credentials: KeptCredentials,
  offers: OwnOffers,
): Promise<SnapshotterParts | undefined> {
  if (snapshotter === undefined) return undefined;
  const credentialsFor = (asked: string): Credentials | undefined => credentials.find(asked);
  const remote = new RemoteLayers({ store, pulls, credentialsFor });
  const isOwnOffer = (key: string): boolean => offers.isOwn(key);
  const admission = policy && new SnapshotAdmission({ store, registry, policy, credentialsFor, isOwnOffer });
  const methods = { ...snapshotsService({ ...snapshotter, store, remote, admission }) };
  const name = 'containerd.services.snapshots.v1.Snapshots';
  const services = [served('containerd-snapshots-v1.proto', name, methods, { onError })];
  return { remote, server: await GrpcServer.listen(snapshotter.socket, services) };
}

/** The methods of a service by their names in lowerCamelCase, each of the kind that the proto file says. */
type Methods = Readonly<Record<string, UnaryMethod<never, object> | StreamingMethod<never, object>>>;

function served(file: ProtoFile, name: string, methods: Methods, calls: CallOptions): ServedService {
  const proto = readProto(file);
  const definition = serviceOf(proto, name);
  const implementation: ServedService['implementation'] = {};
  for (const [called, { responseStream }] of Object.entries<ServiceDefinition[string]>(definition)) {
    const method = methods[`${called.charAt(0).toLowerCase()}${called.slice(1)}`];
    // The server answers UNIMPLEMENTED.
    if (method === undefined) continue;
    implementation[called] = responseStream
      ? streaming(called, method as StreamingMethod<unknown, object>, calls)
      : unary(called, method as UnaryMethod<unknown, object>, calls);
  }
  return { name, definition, implementation, proto };
}
