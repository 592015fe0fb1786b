import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import { digestOf } from '../../src/spec/index.js';

/** How the registry behaves beyond what the specification asks for. */
export interface UploadRegistryOptions {
  /**
   * Breaks the connection after so many bytes of a body: of the first request that has one, of the second,
   * and so on.
   */
  cuts?: readonly number[];
  /**
   * What stays of a body that broke off. Default `all`; `cancelled`: the whole upload is gone, as
   * distribution does it.
   */
  keeps?: 'all' | 'nothing' | 'cancelled';
  /** The largest body; beyond it the answer is 413. */
  bodyLimit?: number;
  /** `OCI-Chunk-Min-Length`; smaller chunks but the last are refused. */
  leastChunk?: number;
  /** How `Range` tells what is held. Default `exact`. */
  range?: 'exact' | 'always 0-0' | 'absent';
  /** The address of an upload. Default: relative, with a query. */
  location?: (origin: string, upload: string) => string;
  /** Blobs of the repository `team/base`. */
  base?: readonly Buffer[];
  /** Whether it mounts, begins an upload instead, or refuses. Default `mounts`. */
  mount?: 'mounts' | 'declines' | 'refuses';
  /** Drops the answer to the closing request, once it has done what it says. So many times. */
  loseClosing?: number;
  /** Holds only the last chunk of several, as registries do that take no chunks. */
  forgetsChunks?: boolean;
  /** Answers 201 to the last byte, and then no longer knows the upload. */
  closesEarly?: boolean;
  /** Asks for this `Authorization` by HTTP basic authentication. */
  authorization?: string;
  /** Called for each request before it is answered; an answer here is given instead. */
  instead?: (line: string, nth: number) => { status: number; headers?: Record<string, string> } | undefined;
}

interface Upload {
  bytes: Buffer;
  /** The address is another one after each answer. */
  state: number;
}

const REPOSITORY = '/v2/team/app/';

/** A registry in memory that takes blobs for `team/app`, strict in what it accepts. */
export class UploadRegistry implements AsyncDisposable {
  /** What came, in words without what changes from run to run: `PATCH 0-5242879 (5242880)`. */
  readonly seen: string[] = [];
  readonly headers: http.IncomingHttpHeaders[] = [];
  readonly urls: string[] = [];
  readonly blobs: Map<string, Buffer> = new Map<string, Buffer>();
  readonly uploads: Map<string, Upload> = new Map<string, Upload>();
  readonly #options: UploadRegistryOptions;
  readonly #server: http.Server;
  #bodies = 0;
  #requests = 0;
  #uploads = 0;
  #lost = 0;

  private constructor(options: UploadRegistryOptions) {
    this.#options = options;
    this.#server = http.createServer((request, response) => {
      const { socket } = request;
      this.#answer(request, response).catch(() => socket.destroy());
    });
    this.#server.on('clientError', (_error, socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  }

  static async start(options: UploadRegistryOptions = {}): Promise<UploadRegistry> {
    const registry = new UploadRegistry(options);
    registry.#server.listen(0, '127.0.0.1');
    await once(registry.#server, 'listening');
    return registry;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    // A request that was broken off has none any more.
    const { socket } = request;
    const url = new URL(request.url ?? '/', `http://${this.address}`);
    const size = Number(request.headers['content-length'] ?? 0);
    this.seen.push(lineOf(request, url, size));
    this.headers.push(request.headers);
    this.urls.push(`${request.method ?? ''} ${request.url ?? ''}`);
    this.#requests += 1;
    const instead = this.#options.instead?.(this.seen.at(-1) ?? '', this.#requests);
    if (instead !== undefined) {
      await drained(request);
      response.writeHead(instead.status, instead.headers).end();
      return;
    }
    const { authorization = request.headers.authorization } = this.#options;
    if (request.headers.authorization !== authorization) {
      await drained(request);
      response.writeHead(401, { 'www-authenticate': 'Basic realm="harbour"' }).end();
      return;
    }
    if (size > (this.#options.bodyLimit ?? Infinity)) {
      await drained(request);
      response.writeHead(413, { connection: 'close' }).end();
      return;
    }
    const cut = size > 0 ? this.#options.cuts?.[this.#bodies] : undefined;
    if (size > 0) this.#bodies += 1;
    const upload = this.uploads.get(url.pathname.split('/').at(-1) ?? '');
    const body = await read(request, cut ?? Infinity);
    if (body.length < size) this.#breakOff(url, upload, body);
    if (body.length < size) socket.destroy();
    else this.#take(request.method ?? '', url, { upload, body, request, response });
  }

  #breakOff(url: URL, upload: Upload | undefined, body: Buffer): void {
    const { keeps = 'all' } = this.#options;
    if (upload === undefined) return;
    if (keeps === 'all') upload.bytes = Buffer.concat([upload.bytes, body]);
    if (keeps === 'cancelled') this.uploads.delete(url.pathname.split('/').at(-1) ?? '');
  }

  #take(method: string, url: URL, taken: Taken): void {
    const { response, upload } = taken;
    if (method === 'HEAD') {
      const blob = this.blobs.get(url.pathname.split('/').at(-1) ?? '');
      response.writeHead(blob === undefined ? 404 : 200, { 'content-length': blob?.length ?? 0 }).end();
    } else if (method === 'PUT' && url.pathname.includes('/manifests/')) {
      response.writeHead(201).end();
    } else if (method === 'POST') {
      this.#begin(url, response);
    } else if (upload === undefined || url.searchParams.get('state') !== String(upload.state)) {
      response.writeHead(404).end();
    } else {
      this.#goOn(method, url, { ...taken, upload });
    }
  }

  #begin(url: URL, response: http.ServerResponse): void {
    const { mount = 'mounts', base = [], leastChunk } = this.#options;
    const wanted = url.searchParams.get('mount');
    const blob = base.find((bytes) => digestOf(bytes) === wanted);
    if (wanted !== null && mount === 'refuses') {
      response.writeHead(400).end();
      return;
    }
    if (wanted !== null && blob !== undefined && mount === 'mounts') {
      this.blobs.set(wanted, blob);
      response.writeHead(201, { location: `${REPOSITORY}blobs/${wanted}`, 'docker-content-digest': wanted });
      response.end();
      return;
    }
    this.#uploads += 1;
    const upload = { bytes: Buffer.alloc(0), state: 0 };
    this.uploads.set(String(this.#uploads), upload);
    response.writeHead(202, {
      location: this.#location(String(this.#uploads), upload),
      ...(leastChunk === undefined ? {} : { 'oci-chunk-min-length': leastChunk }),
    });
    response.end();
  }

  #goOn(method: string, url: URL, { upload, body, request, response }: Taken & { upload: Upload }): void {
    const id = url.pathname.split('/').at(-1) ?? '';
    if (method === 'DELETE') {
      this.uploads.delete(id);
      response.writeHead(204).end();
      return;
    }
    const range = /^(\d+)-(\d+)$/.exec(request.headers['content-range'] ?? '');
    if (method === 'PATCH' && (Number(range?.[1] ?? 0) !== upload.bytes.length || isShort(range, body))) {
      response.writeHead(416).end();
      return;
    }
    const forgets = this.#options.forgetsChunks === true && upload.bytes.length > 0 && body.length > 0;
    upload.bytes = forgets
      ? Buffer.concat([Buffer.alloc(upload.bytes.length), body])
      : Buffer.concat([upload.bytes, body]);
    if (method !== 'PUT') upload.state += 1;
    if (method === 'PUT') {
      this.#close(url.searchParams.get('digest') ?? '', id, { upload, request, response });
      return;
    }
    if (this.#options.closesEarly === true && method === 'PATCH') {
      this.blobs.set(digestOf(upload.bytes), upload.bytes);
      this.uploads.delete(id);
    }
    response.writeHead(method === 'GET' ? 204 : this.#options.closesEarly === true ? 201 : 202, {
      location: this.#location(id, upload),
      ...this.#range(upload),
    });
    response.end();
  }

  #close(
    digest: string,
    id: string,
    {
      upload,
      request,
      response,
    }: { upload: Upload; request: http.IncomingMessage; response: http.ServerResponse },
  ): void {
    if (digestOf(upload.bytes) !== digest) {
      response.writeHead(400).end();
      return;
    }
    this.blobs.set(digest, upload.bytes);
    this.uploads.delete(id);
    this.#lost += 1;
    if (this.#lost <= (this.#options.loseClosing ?? 0)) {
      request.socket.destroy();
      return;
    }
    response
      .writeHead(201, { location: `${REPOSITORY}blobs/${digest}`, 'docker-content-digest': digest })
      .end();
  }

  #location(id: string, upload: Upload): string {
    const form = this.#options.location ?? ((_origin, path) => path);
    return form(`http://${this.address}`, `${REPOSITORY}blobs/uploads/${id}?state=${upload.state}`);
  }

  #range({ bytes }: Upload): Record<string, string> {
    const { range = 'exact' } = this.#options;
    if (range === 'absent') return {};
    return { range: range === 'always 0-0' ? '0-0' : `0-${Math.max(0, bytes.length - 1)}` };
  }
}

interface Taken {
  readonly upload: Upload | undefined;
  readonly body: Buffer;
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
}

function isShort(range: RegExpExecArray | null, body: Buffer): boolean {
  return range !== null && Number(range[2]) - Number(range[1]) + 1 !== body.length;
}

/** The bytes of a body until it breaks off or is cut. */
async function read(request: http.IncomingMessage, most: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length >= most) break;
    }
  } catch {
    // The client has gone; what came counts.
  }
  return Buffer.concat(chunks, length).subarray(0, most);
}

async function drained(request: http.IncomingMessage): Promise<void> {
  await read(request, Infinity);
}

function lineOf({ method = '', headers }: http.IncomingMessage, { searchParams }: URL, size: number): string {
  const from = searchParams.get('from') ?? '';
  const range = method === 'PATCH' ? (headers['content-range'] ?? 'whole') : '';
  return [method, from, range, size > 0 ? `(${size})` : ''].filter((part) => part !== '').join(' ');
}
