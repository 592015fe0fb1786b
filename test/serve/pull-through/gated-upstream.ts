import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

import { digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { deferred, type Deferred } from '../../../src/concurrency/index.js';

/** What is to go wrong with a request; undefined: nothing. */
export type Trouble = (request: http.IncomingMessage, response: http.ServerResponse) => boolean;

/**
 * A registry in memory whose blobs can be held back in the middle, and that can be away and come back at its
 * address.
 */
export class GatedUpstream implements AsyncDisposable {
  /** `GET /v2/…`, with the range where one was asked for. */
  readonly requests: string[] = [];
  readonly tags: Map<string, string> = new Map<string, string>();
  readonly referrers: Map<string, object[]> = new Map<string, object[]>();
  readonly blobs: Map<string, Buffer> = new Map<string, Buffer>();
  readonly types: Map<string, string> = new Map<string, string>();
  /** Bodies of blobs that were closed before their end. */
  cut = 0;
  /** Answers in the place of this registry where it returns true. */
  trouble: Trouble | undefined;
  #admission: Deferred<undefined> | undefined;
  readonly #sockets = new Set<Socket>();
  #server: http.Server | undefined;
  #port = 0;

  static async start(): Promise<GatedUpstream> {
    const upstream = new GatedUpstream();
    await upstream.listen();
    return upstream;
  }

  /** `127.0.0.1:PORT`, the same after a pause. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Adds content; a manifest gets its type. */
  add(content: Buffer | object, mediaType?: string): { mediaType: string; digest: string; size: number } {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    const type = mediaType ?? MEDIA_TYPES.ociLayerGzip;
    this.types.set(digest, type);
    return { mediaType: type, digest, size: bytes.length };
  }

  /** From now on a blob's body stops in its middle. Returns what lets all of them go on. */
  hold(): () => void {
    const admission = deferred<undefined>();
    this.#admission = admission;
    return () => {
      this.#admission = undefined;
      admission.resolve(undefined);
    };
  }

  /** How often a blob was asked for. */
  asked(digest: string): number {
    return this.requests.filter((line) => line.startsWith('GET ') && line.includes(`/blobs/${digest}`))
      .length;
  }

  async listen(): Promise<void> {
    this.#server = http.createServer((request, response) => void this.#answer(request, response));
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Breaks all connections, and takes none. */
  async away(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    for (const socket of this.#sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#admission?.resolve(undefined);
    await this.away();
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request;
    this.requests.push(`${method} ${url}${headers.range === undefined ? '' : ` ${headers.range}`}`);
    if (this.trouble?.(request, response) === true) return;
    const { pathname } = new URL(url, 'http://upstream');
    const [kind = '', wanted = ''] = pathname.split('/').slice(-2);
    if (kind === 'tags') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ name: 'team/app', tags: [...this.tags.keys()] }));
    } else if (kind === 'referrers') {
      response.setHeader('content-type', MEDIA_TYPES.ociIndex);
      const manifests = this.referrers.get(wanted) ?? [];
      response.end(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }));
    } else {
      await this.#content(kind, this.tags.get(wanted) ?? wanted, { request, response });
    }
  }

  async #content(
    kind: string,
    digest: string,
    { request, response }: { request: http.IncomingMessage; response: http.ServerResponse },
  ): Promise<void> {
    const body = this.blobs.get(digest);
    if (body === undefined) {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({
          errors: [{ code: kind === 'blobs' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN', message: 'no' }],
        }),
      );
      return;
    }
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const common = {
      'content-type': kind === 'blobs' ? 'application/octet-stream' : (this.types.get(digest) ?? ''),
      'docker-content-digest': digest,
      'content-length': body.length - start,
    };
    const partial = { ...common, 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` };
    response.writeHead(start > 0 ? 206 : 200, start > 0 ? partial : common);
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const middle = kind === 'blobs' ? Math.max(start, Math.floor(body.length / 2)) : start;
    response.write(body.subarray(start, middle));
    response.on('close', () => {
      if (!response.writableFinished) this.cut += 1;
    });
    if (kind === 'blobs') await this.#admission?.promise;
    response.end(body.subarray(middle));
  }
}
