import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { openStore, type Store } from '../../../src/engine/store.js';
import {
  createRegistryServer,
  PushAdmission,
  type RegistryServer,
  type RegistryServerOptions,
  type ServedRequest,
  StoreSource,
  StoreTarget,
} from '../../../src/serve/index.js';
import type { PolicyFile } from '../../../src/trust/index.js';
import { type Descriptor, digestOf, MEDIA_TYPES, type VerifiableAlgorithm } from '../../../src/spec/index.js';

export interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  /** A list is sent part by part, without a length. */
  readonly body?: Buffer | string | readonly Buffer[];
}

export interface WritableOptions extends Partial<RegistryServerOptions> {
  /** What images need that are pushed. */
  readonly policy?: PolicyFile;
  readonly graceMs?: number;
}

/** A store of its own that is served, and can be pushed to. */
export class WritableRegistry implements AsyncDisposable {
  readonly root: string;
  readonly served: ServedRequest[] = [];
  readonly warnings: string[] = [];
  #options: WritableOptions;
  #store: Store;
  #server: RegistryServer;
  #port = 0;

  private constructor(root: string, store: Store, options: WritableOptions) {
    this.root = root;
    this.#store = store;
    this.#options = options;
    this.#server = this.#create();
  }

  static async start(options: WritableOptions = {}): Promise<WritableRegistry> {
    const root = join(await mkdtemp(join(tmpdir(), 'landfall-writable-')), 'root');
    const registry = new WritableRegistry(root, await openStore({ root }), options);
    await registry.#listen();
    return registry;
  }

  get store(): Store {
    return this.#store;
  }

  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:PORT` */
  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Ends the server and the store, and opens both again, at another port. */
  async restart(options: WritableOptions = this.#options): Promise<void> {
    await this.#server.close({ graceMs: 0 });
    await this.#store.close();
    this.#options = options;
    this.#store = await openStore({ root: this.root });
    this.#server = this.#create();
    await this.#listen();
  }

  async send(method: string, target: string, { headers = {}, body }: Sent = {}): Promise<Reply> {
    const request = this.open(method, target, { ...headers, ...lengthOf(body) });
    const parts = body === undefined ? [] : Array.isArray(body) ? (body as Buffer[]) : [body as Buffer];
    for (const part of parts) request.write(part);
    request.end();
    return await replyOf(request);
  }

  /** A request whose body is the caller's to send. */
  open(method: string, target: string, headers: Readonly<Record<string, string>> = {}): http.ClientRequest {
    return http.request({ host: '127.0.0.1', port: this.#port, method, path: target, headers, agent: false });
  }

  /** Pushes a blob in two requests, and gives its descriptor. */
  async pushBlob(
    repository: string,
    content: Buffer | string,
    o: { readonly mediaType?: string; readonly algorithm?: VerifiableAlgorithm } = {},
  ): Promise<Descriptor> {
    const bytes = Buffer.from(content);
    const digest = digestOf(bytes, o.algorithm);
    const { status } = await this.send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
      body: bytes,
    });
    if (status !== 201) throw new Error(`the blob was answered with ${status}`);
    return { mediaType: o.mediaType ?? MEDIA_TYPES.ociLayer, digest, size: bytes.length };
  }

  /** The bytes of a manifest whose blobs were pushed, different from all others. */
  async manifest(repository: string, fields: object = {}, algorithm?: VerifiableAlgorithm): Promise<Buffer> {
    const o = algorithm === undefined ? {} : { algorithm };
    const config = await this.pushBlob(repository, '{}', { mediaType: MEDIA_TYPES.ociConfig, ...o });
    const layer = await this.pushBlob(repository, randomBytes(64), o);
    return Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        config,
        layers: [layer],
        ...fields,
      }),
    );
  }

  async putManifest(repository: string, reference: string, bytes: Buffer, type?: string): Promise<Reply> {
    return await this.send('PUT', `/v2/${repository}/manifests/${reference}`, {
      body: bytes,
      headers: { 'Content-Type': type ?? MEDIA_TYPES.ociManifest },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close({ graceMs: 0 });
    await this.#store.close();
    await rm(join(this.root, '..'), { recursive: true, force: true });
  }

  #create(): RegistryServer {
    const { catalog: images, content, manifests, database } = this.#store;
    const { policy, graceMs, ...options } = this.#options;
    const onWarning = (text: string): void => void this.warnings.push(text);
    const admission = policy && new PushAdmission({ store: this.#store, policy, graceMs, onWarning });
    const records = { manifests, database, ownManifests: true };
    return createRegistryServer({
      source: new StoreSource({ images, content, records, admission }),
      target: new StoreTarget(this.#store, admission),
      onRequest: (request) => this.served.push(request),
      ...options,
    });
  }

  async #listen(): Promise<void> {
    ({ port: this.#port } = await this.#server.listen({ host: '127.0.0.1', port: 0 }));
  }
}

function lengthOf(body: Sent['body']): Record<string, string> {
  if (body === undefined || Array.isArray(body)) return {};
  return { 'Content-Length': String(Buffer.byteLength(body as Buffer)) };
}

export async function replyOf(request: http.ClientRequest): Promise<Reply> {
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  // Of a body that was refused, what is still on its way may find nobody.
  request.on('error', () => undefined);
  return { status: response.statusCode ?? 0, headers: response.headers, body: await buffer(response) };
}

/** The codes of an error body. */
export function codesOf({ body }: Reply): string {
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string; message: string }[] };
  return errors.map(({ code }) => code).join(' ');
}
