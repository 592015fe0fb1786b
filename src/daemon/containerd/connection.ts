import { type ClientOptions, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type Abortable, type ErrorCode, isLandfallError, LandfallError } from '../../errors.js';
import type { Labels } from '../../unpack/index.js';
import type { ImageSpec } from '../cri/messages.js';
import { type GrpcCallOptions, GrpcClient, type GrpcClientOptions } from '../grpc/grpc-client.js';

const SERVICES: GrpcClientOptions['services'] = {
  content: ['containerd-content-v1.proto', 'containerd.services.content.v1.Content'],
  events: ['containerd-events-v1.proto', 'containerd.services.events.v1.Events'],
  images: ['containerd-images-v1.proto', 'containerd.services.images.v1.Images'],
  leases: ['containerd-leases-v1.proto', 'containerd.services.leases.v1.Leases'],
  snapshots: ['containerd-snapshots-v1.proto', 'containerd.services.snapshots.v1.Snapshots'],
  cri: ['runtime-v1.proto', 'runtime.v1.ImageService'],
};

/** How long one call may take, in milliseconds: the removal of an image collects all that is left of it. */
const CALL_MS = 60_000;

const CHANNEL: ClientOptions = {
  // A containerd that comes back is to be found soon.
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // What containerd itself sends and takes.
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
};

export interface ContainerdCallOptions extends Abortable {
  /** The lease that keeps what the call makes. */
  readonly lease?: string | undefined;
}

/**
 * The services of a containerd, in one of its namespaces. Nothing is connected before the first call. Errors
 * of every call: NOT_FOUND, ALREADY_EXISTS, IN_USE; UNAVAILABLE (it is away); PROTOCOL (it cannot do that);
 * ABORTED.
 */
export class ContainerdConnection implements Disposable {
  readonly #client: GrpcClient;
  readonly #namespace: string;

  /** @param socket its path */
  constructor(socket: string, namespace: string) {
    this.#client = new GrpcClient({ socket, services: SERVICES, errorOf: containerdError, channel: CHANNEL });
    this.#namespace = namespace;
  }

  async call<Call extends keyof ContainerdCalls>(
    call: Call,
    request: ContainerdCalls[Call][0],
    o: ContainerdCallOptions = {},
  ): Promise<ContainerdCalls[Call][1]> {
    return await this.#client.unary(call, request, { ...this.#optionsOf(o), timeoutMs: CALL_MS });
  }

  /** Makes one write of content, which ends with a commit. */
  async write(messages: Iterable<WriteContentRequest>, o: ContainerdCallOptions = {}): Promise<void> {
    await this.#client.send('content/Write', messages, { ...this.#optionsOf(o), timeoutMs: CALL_MS });
  }

  /** What happens from now on, until the connection breaks or containerd ends. */
  events(filters: readonly string[], o: Abortable): AsyncIterable<EventEnvelope> {
    return this.#client.stream('events/Subscribe', { filters }, this.#optionsOf(o));
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  #optionsOf({ signal, lease }: ContainerdCallOptions): GrpcCallOptions {
    const metadata = new Metadata();
    metadata.set('containerd-namespace', this.#namespace);
    if (lease !== undefined) metadata.set('containerd-lease', lease);
    return { signal, metadata };
  }
}

/** What a status means here; the others say that containerd cannot do what it was asked. */
const CODES: ReadonlyMap<status, ErrorCode> = new Map<status, ErrorCode>([
  [status.NOT_FOUND, 'NOT_FOUND'],
  [status.ALREADY_EXISTS, 'ALREADY_EXISTS'],
  [status.FAILED_PRECONDITION, 'IN_USE'],
  [status.UNAVAILABLE, 'UNAVAILABLE'],
  [status.DEADLINE_EXCEEDED, 'UNAVAILABLE'],
  [status.CANCELLED, 'UNAVAILABLE'],
]);

const HINTS: Readonly<Partial<Record<ErrorCode, { readonly hint: string }>>> = {
  UNAVAILABLE: { hint: 'Check that containerd runs, and that landfall may use its socket.' },
  PROTOCOL: { hint: "See containerd's log, and that its configuration names landfall as a proxy plugin." },
};

/** What a call of containerd failed with. */
function containerdError(error: ServiceError, call: string): LandfallError {
  const code = CODES.get(error.code) ?? 'PROTOCOL';
  return new LandfallError(code, `containerd's ${call} failed: ${error.details} (${status[error.code]})`, {
    cause: error,
    retryable: code === 'UNAVAILABLE',
    ...HINTS[code],
  });
}

/** Undefined in place of an answer that something is not there. */
export function unlessMissing(error: unknown): undefined {
  if (isLandfallError(error) && error.code === 'NOT_FOUND') return undefined;
  throw error;
}

export function isAlreadyThere(error: unknown): boolean {
  return isLandfallError(error) && error.code === 'ALREADY_EXISTS';
}

/**
 * The messages of containerd's services as they are sent and arrive: absent messages are null, absent texts
 * empty, 64-bit numbers decimal text. Fields that landfall neither sends nor reads are left out.
 */

export interface DescriptorMessage {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: string;
}

/** A name for content, in a namespace. */
export interface ImageMessage {
  readonly name: string;
  readonly labels: Labels;
  readonly target: DescriptorMessage | null;
}

/** Which fields an update is about: `target`, `labels`, or `labels.` and a key. */
export interface FieldMask {
  readonly paths: readonly string[];
}

export interface ContentInfo {
  readonly digest: string;
  readonly size: string;
  readonly labels: Labels;
}

export interface WriteContentRequest {
  readonly action: 'WRITE' | 'COMMIT';
  /** Names the write; one at a time has it. */
  readonly ref: string;
  readonly total: string;
  readonly expected: string;
  readonly offset: string;
  readonly data: Uint8Array;
  readonly labels: Labels;
}

/** One snapshot of a snapshotter. */
export interface SnapshotKey {
  readonly snapshotter: string;
  readonly key: string;
}

export interface EventEnvelope {
  readonly namespace: string;
  readonly topic: string;
}

/** What containerd's CRI says of an image. */
export interface CriImage {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

type Empty = object;

/** The calls that landfall makes, by service and method; each a request with its answer. */
export interface ContainerdCalls {
  'leases/Create': [{ readonly id: string; readonly labels: Labels }, Empty];
  'leases/Delete': [{ readonly id: string }, Empty];
  'content/Info': [{ readonly digest: string }, { readonly info: ContentInfo | null }];
  'content/Update': [
    { readonly info: Pick<ContentInfo, 'digest' | 'labels'>; readonly updateMask: FieldMask },
    Empty,
  ];
  'images/List': [Empty, { readonly images: readonly ImageMessage[] }];
  'images/Create': [{ readonly image: ImageMessage }, Empty];
  'images/Update': [{ readonly image: ImageMessage; readonly updateMask: FieldMask }, Empty];
  'images/Delete': [{ readonly name: string; readonly sync: boolean }, Empty];
  'snapshots/Prepare': [SnapshotKey & { readonly parent: string; readonly labels: Labels }, Empty];
  'snapshots/Stat': [SnapshotKey, Empty];
  'snapshots/Remove': [SnapshotKey, Empty];
  'cri/ListImages': [Empty, { readonly images: readonly CriImage[] }];
  'cri/ImageStatus': [{ readonly image: Pick<ImageSpec, 'image'> }, { readonly image: CriImage | null }];
}
