import {
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js';
import { rm } from 'node:fs/promises';
import type {
  ContainerdCalls,
  EventEnvelope,
  ImageMessage,
  WriteContentRequest,
} from '../../src/daemon/containerd/connection.js';
import { readProto, serviceOf } from '../../src/daemon/grpc/grpc-server.js';
import { digestOf } from '../../src/spec/index.js';
import type { Labels } from '../../src/unpack/index.js';

const NAMESPACE = 'k8s.io';
const SNAPSHOTTER = 'landfall';

interface FakeBlob {
  readonly bytes: Buffer;
  labels: Labels;
}

/**
 * As much of containerd as landfall's side of it asks: content, leases, names, snapshots that a snapshotter
 * of landfall has or has not, events, and a CRI that learns from them. It refuses what containerd refuses,
 * and what comes without its namespace or lease.
 */
export class FakeContainerd implements AsyncDisposable {
  readonly socket: string;
  readonly blobs: Map<string, FakeBlob> = new Map<string, FakeBlob>();
  readonly records: Map<string, ImageMessage> = new Map<string, ImageMessage>();
  /** By chain ID, with the chain ID of the parent. */
  readonly snapshots: Map<string, string> = new Map<string, string>();
  /** The chain IDs that landfall's snapshotter has not. */
  readonly missing: Set<string> = new Set<string>();
  /** What its CRI knows: image IDs by name. */
  readonly cri: Map<string, string> = new Map<string, string>();
  /** The calls that change something, in their order. */
  readonly calls: string[] = [];
  /** How often all names were asked for. */
  looks = 0;
  /** Whether its CRI is enabled. */
  hasCri = true;
  readonly #leases = new Set<string>();
  readonly #listeners = new Set<ServerWritableStream<object, EventEnvelope>>();
  #server: Server | undefined;

  constructor(socket: string) {
    this.socket = socket;
  }

  /** Listens; all that it had is there again, but for what its CRI knew. */
  async start(): Promise<void> {
    this.cri.clear();
    const server = new Server();
    const add = (file: Parameters<typeof readProto>[0], service: string, methods: object): void =>
      server.addService(serviceOf(readProto(file), service), { ...methods });
    add('containerd-leases-v1.proto', 'containerd.services.leases.v1.Leases', this.#leaseMethods());
    add('containerd-content-v1.proto', 'containerd.services.content.v1.Content', this.#contentMethods());
    add('containerd-images-v1.proto', 'containerd.services.images.v1.Images', this.#imageMethods());
    add(
      'containerd-snapshots-v1.proto',
      'containerd.services.snapshots.v1.Snapshots',
      this.#snapshotMethods(),
    );
    add('containerd-events-v1.proto', 'containerd.services.events.v1.Events', this.#eventMethods());
    add('runtime-v1.proto', 'runtime.v1.ImageService', this.#criMethods());
    await rm(this.socket, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${this.socket}`, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
    this.#server = server;
  }

  /** Ends at once, as if it were killed. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
    this.#listeners.clear();
  }

  /** Somebody else takes a name away. */
  remove(name: string): void {
    this.records.delete(name);
    this.#emit('delete', name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    return Promise.resolve();
  }

  #leaseMethods(): object {
    return {
      Create: unary<'leases/Create'>(({ id, labels }) => {
        if (Number.isNaN(Date.parse(labels['containerd.io/gc.expire'] ?? '')))
          throw refusal('INVALID_ARGUMENT');
        this.#leases.add(id);
        return {};
      }),
      Delete: unary<'leases/Delete'>(({ id }) => {
        this.#leases.delete(id);
        return {};
      }),
    };
  }

  #contentMethods(): object {
    const write: handleBidiStreamingCall<WriteContentRequest, object> = (stream) => {
      this.#write(stream);
    };
    return {
      Info: unary<'content/Info'>(({ digest }) => {
        const { bytes, labels } = present(this.blobs.get(digest));
        return { info: { digest, size: `${bytes.length}`, labels } };
      }),
      Update: unary<'content/Update'>(({ info, updateMask }) => {
        const blob = present(this.blobs.get(info.digest));
        const set = updateMask.paths.map((path) => path.replace(/^labels\./, ''));
        const changed = set.map((label): [string, string] => [label, info.labels[label] ?? '']);
        blob.labels = { ...blob.labels, ...Object.fromEntries(changed) };
        this.calls.push(`content/Update ${info.digest}`);
        return {};
      }),
      Write: write,
    };
  }

  #write(stream: ServerDuplexStream<WriteContentRequest, object>): void {
    const chunks: Buffer[] = [];
    stream.on('data', (message: WriteContentRequest) => {
      try {
        this.#requireLease(stream.metadata);
        if (this.blobs.has(message.expected)) throw refusal('ALREADY_EXISTS');
        chunks.push(Buffer.from(message.data));
        if (message.action !== 'COMMIT') return;
        const bytes = Buffer.concat(chunks);
        if (digestOf(bytes) !== message.expected || `${bytes.length}` !== message.total)
          throw refusal('FAILED_PRECONDITION');
        this.blobs.set(message.expected, { bytes, labels: message.labels });
        this.calls.push(`content/Write ${message.expected}`);
        stream.write({ action: 'COMMIT', digest: message.expected });
        stream.end();
      } catch (error) {
        stream.emit('error', error);
      }
    });
  }

  #imageMethods(): object {
    return {
      List: unary<'images/List'>(() => {
        this.looks += 1;
        return { images: [...this.records.values()] };
      }),
      Create: unary<'images/Create'>(({ image }, metadata) => {
        this.#requireLease(metadata);
        if (this.records.has(image.name)) throw refusal('ALREADY_EXISTS');
        return this.#put('create', image);
      }),
      Update: unary<'images/Update'>(({ image, updateMask: { paths } }) => {
        const known = present(this.records.get(image.name));
        return this.#put('update', {
          name: image.name,
          target: paths.includes('target') ? image.target : known.target,
          labels: paths.includes('labels') ? image.labels : known.labels,
        });
      }),
      Delete: unary<'images/Delete'>(({ name, sync }) => {
        present(this.records.get(name));
        this.calls.push(`images/Delete ${name}${sync ? ' and collect' : ''}`);
        this.remove(name);
        return {};
      }),
    };
  }

  #put(what: 'create' | 'update', image: ImageMessage): object {
    this.records.set(image.name, image);
    this.calls.push(`images/${what === 'create' ? 'Create' : 'Update'} ${image.name}`);
    this.#emit(what, image.name);
    return {};
  }

  #snapshotMethods(): object {
    return {
      Prepare: unary<'snapshots/Prepare'>(({ snapshotter, parent, labels }, metadata) => {
        this.#requireLease(metadata);
        if (snapshotter !== SNAPSHOTTER) throw refusal('INVALID_ARGUMENT');
        const chainId = labels['containerd.io/snapshot.ref'] ?? '';
        if (parent !== '' && !this.snapshots.has(parent)) throw refusal('NOT_FOUND');
        this.calls.push(`snapshots/Prepare ${chainId}`);
        if (this.missing.has(chainId)) return {};
        this.snapshots.set(chainId, parent);
        throw refusal('ALREADY_EXISTS');
      }),
      Stat: unary<'snapshots/Stat'>(({ key }) => {
        present(this.snapshots.get(key));
        if (this.missing.has(key)) throw refusal('NOT_FOUND');
        return {};
      }),
      Remove: unary<'snapshots/Remove'>(({ key }) => {
        if ([...this.snapshots.values()].includes(key)) throw refusal('FAILED_PRECONDITION');
        if (key.startsWith('landfall-')) this.calls.push(`snapshots/Remove ${key.replace(/^\S+/, 'KEY')}`);
        else {
          present(this.snapshots.get(key));
          this.snapshots.delete(key);
          this.calls.push(`snapshots/Remove ${key}`);
        }
        return {};
      }),
    };
  }

  #eventMethods(): object {
    const subscribe: handleServerStreamingCall<object, EventEnvelope> = (stream) => {
      this.#listeners.add(stream);
      stream.on('cancelled', () => this.#listeners.delete(stream));
    };
    return { Subscribe: subscribe };
  }

  #criMethods(): object {
    return {
      ListImages: unary<'cri/ListImages'>(() => {
        if (!this.hasCri) throw refusal('UNIMPLEMENTED');
        const names = [...this.cri].filter(([name, id]) => name !== id);
        return { images: names.map(([name, id]) => ({ id, repoTags: [name], repoDigests: [] })) };
      }),
      ImageStatus: unary<'cri/ImageStatus'>(({ image: { image } }) => {
        if (!this.hasCri) throw refusal('UNIMPLEMENTED');
        const id = this.cri.get(image);
        return { image: id === undefined ? null : { id, repoTags: [], repoDigests: [] } };
      }),
    };
  }

  /** What its CRI learns of an image, it learns a moment later. */
  #emit(what: 'create' | 'update' | 'delete', name: string): void {
    for (const listener of this.#listeners)
      listener.write({ namespace: NAMESPACE, topic: `/images/${what}` });
    setTimeout(() => {
      const target = this.records.get(name)?.target?.digest;
      const id = target === undefined ? undefined : this.#imageId(target);
      if (id === undefined) this.cri.delete(name);
      else this.cri.set(name, id);
    }, 5);
  }

  #imageId(digest: string): string | undefined {
    const text = this.blobs.get(digest)?.bytes.toString() ?? '{}';
    const { config, manifests = [] } = JSON.parse(text) as {
      config?: { digest: string };
      manifests?: { digest: string }[];
    };
    if (config !== undefined) return this.blobs.has(config.digest) ? config.digest : undefined;
    return manifests.map((manifest) => this.#imageId(manifest.digest)).find((id) => id !== undefined);
  }

  #requireLease(metadata: Metadata): void {
    const [lease] = metadata.get('containerd-lease');
    if (typeof lease !== 'string' || !this.#leases.has(lease)) throw refusal('INVALID_ARGUMENT');
  }
}

type Refusal = Error & { readonly code: status };

function refusal(code: keyof typeof status): Refusal {
  return Object.assign(new Error(`refused: ${code}`), { code: status[code], details: `refused: ${code}` });
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw refusal('NOT_FOUND');
  return value;
}

function unary<Call extends keyof ContainerdCalls>(
  method: (request: ContainerdCalls[Call][0], metadata: Metadata) => ContainerdCalls[Call][1],
): handleUnaryCall<ContainerdCalls[Call][0], ContainerdCalls[Call][1]> {
  return (call, answer) => {
    try {
      if (call.metadata.get('containerd-namespace')[0] !== NAMESPACE) throw refusal('INVALID_ARGUMENT');
      answer(null, method(call.request, call.metadata));
    } catch (error) {
      answer(error as Refusal);
    }
  };
}
