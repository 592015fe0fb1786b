import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { PullBudget, type Store } from '../engine/index.js';
import type { RegistryClient } from '../registry/index.js';
import { type CallOptions, streaming, unary } from './calls.js';
import { imageService } from './cri/image-service.js';
import { runtimeService } from './cri/runtime-service.js';
import { writeDaemonFile } from './daemon-file.js';
import { GrpcServer, type ServedService } from './grpc-server.js';
import { NodeImages } from './node-images.js';
import { readProto, serviceOf } from './proto-files.js';
import { PrePull, type PrePullOptions } from './pre-pull.js';
import { type EndedPull, Pulls } from './pulls/pulls.js';
import { transfersService } from './transfers/transfers-service.js';

export interface DaemonOptions {
  readonly store: Store;
  /** With the daemon's own credentials. */
  readonly registry: RegistryClient;
  /** Path of the socket that it listens at. */
  readonly socket: string;
  /** Of this program, as semver. */
  readonly version: string;
  /** Images pulled at once, and of one registry; default: as many as are asked for. */
  readonly maxParallelPulls?: number;
  readonly maxParallelPullsPerRegistry?: number;
  /** Layers that are downloaded and unpacked at once by all pulls together. */
  readonly concurrency?: number;
  /** How long a pull may make no progress, in milliseconds; 0: for ever. */
  readonly progressTimeoutMs: number;
  readonly discardLayers: boolean;
  /** Names under which pulls may ask for this node's images, besides none. */
  readonly runtimeHandlers: readonly string[];
  /** Whether an image of a canonical name is never to be collected. */
  readonly isPinned: (name: string) => boolean;
  /** A list of images that are to be here; see {@link PrePull}. */
  readonly prePull?: Pick<PrePullOptions, 'file' | 'onProblem'>;
  /** Who observes the pulls: metrics, traces. */
  readonly observers?: readonly PullsObserver[];
  readonly onBegun?: (id: string, reference: string) => void;
  readonly onEnded?: (ended: EndedPull) => void;
  /** Told of each error that a client gets. */
  readonly onError: CallOptions['onError'];
}

/** Told of the pulls before the first is made. */
export interface PullsObserver {
  follow(pulls: Pulls): void;
}

interface DaemonParts {
  readonly pulls: Pulls;
  readonly images: NodeImages;
  readonly server: GrpcServer;
  readonly prePull: PrePull | undefined;
  /** What says where it listens. */
  readonly file: AsyncDisposable;
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
   * @throws LandfallError IN_USE (somebody listens at the socket), FILESYSTEM, INVALID_CONFIG (the list of images)
   */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const { store, registry, progressTimeoutMs, discardLayers, concurrency, onBegun, onEnded } = options;
    const pulls = new Pulls({
      store,
      registry,
      maxParallel: options.maxParallelPulls,
      maxParallelPerRegistry: options.maxParallelPullsPerRegistry,
      budget: new PullBudget(concurrency === undefined ? {} : { concurrency }),
      progressTimeoutMs,
      discardLayers,
    });
    for (const observer of options.observers ?? []) observer.follow(pulls);
    if (onBegun !== undefined) pulls.on('begun', onBegun);
    if (onEnded !== undefined) pulls.on('ended', onEnded);
    const images: NodeImages = new NodeImages({
      store,
      isPinned: (name) => options.isPinned(name) || (prePull?.has(name) ?? false),
    });
    const prePull: PrePull | undefined =
      options.prePull === undefined ? undefined : new PrePull({ ...options.prePull, pulls, images });
    // What was pulled is measured soon, so that nobody who asks for sizes waits for it.
    pulls.on('ended', () => void store.snapshotter.measure().catch(() => undefined));
    const server = await GrpcServer.listen(options.socket, servicesOf(options, pulls, images));
    const parts = { pulls, images, server, prePull };
    try {
      await prePull?.start();
      const file = await writeDaemonFile(store.root, { pid: process.pid, socket: options.socket });
      return new Daemon({ ...parts, file });
    } catch (error) {
      await server.stop(0);
      throw error;
    }
  }

  /** Why it cannot serve at the moment, for who asks whether it is ready; undefined when it can. */
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
   * Stops: begins nothing more, waits for pulls under way, and breaks off what does not end. Each of those leaves what has
   * arrived.
   */
  async stop(patienceMs: number): Promise<void> {
    this.#stopping = true;
    const { file, prePull, server } = this.#parts;
    await file[Symbol.asyncDispose]();
    await Promise.all([prePull?.[Symbol.asyncDispose](), this.pulls.stop(patienceMs)]);
    // Streams that only watch end with their clients, for whom nobody waits.
    await server.stop(LAST_ANSWERS_MS);
  }
}

/** How long answers to calls that have ended may take to be sent, in milliseconds. */
const LAST_ANSWERS_MS = 1_000;

function servicesOf(options: DaemonOptions, pulls: Pulls, images: NodeImages): readonly ServedService[] {
  const { store, runtimeHandlers, version, onError } = options;
  const image = imageService({ store, images, pulls, runtimeHandlers });
  const runtime = runtimeService({ version, runtimeHandlers });
  const transfers = transfersService(pulls);
  const cri = readProto('runtime-v1.proto');
  const own = readProto('transfers-v1.proto');
  const served = (
    proto: ServedService['proto'],
    name: string,
    implementation: UntypedServiceImplementation,
  ): ServedService => ({ name, definition: serviceOf(proto, name), implementation, proto });
  return [
    served(cri, 'runtime.v1.RuntimeService', {
      Version: unary('Version', runtime.version, { onError }),
      Status: unary('Status', runtime.status, { onError }),
    }),
    served(cri, 'runtime.v1.ImageService', {
      ListImages: unary('ListImages', image.listImages, { onError }),
      StreamImages: streaming('StreamImages', image.streamImages, { onError }),
      ImageStatus: unary('ImageStatus', image.imageStatus, { onError }),
      PullImage: unary('PullImage', image.pullImage, { onError }),
      RemoveImage: unary('RemoveImage', image.removeImage, { onError }),
      ImageFsInfo: unary('ImageFsInfo', image.imageFsInfo, { onError }),
    }),
    served(own, 'landfall.v1.Transfers', {
      List: unary('List', transfers.list, { onError }),
      Watch: streaming('Watch', transfers.watch, { onError }),
      Pull: streaming('Pull', transfers.pull, { onError }),
      Cancel: unary('Cancel', transfers.cancel, { onError }),
    }),
  ];
}
