import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TinyLayout } from './tiny-image.js';

const PIECE_BYTES = 16 * 1024;

/**
 * What becomes of one answer: other bytes, a cut after so many of them, a pause before each piece, or a
 * status.
 */
export interface Lie {
  readonly body?: Buffer;
  /** Says the whole length, sends so many bytes, and cuts the connection. */
  readonly cutAfter?: number;
  /** Milliseconds between pieces of 16 KiB. */
  readonly slowly?: number;
  readonly status?: number;
  /** Sends half of the body, and the rest not before this. */
  readonly halfUntil?: Promise<void>;
}

export interface LyingRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** `METHOD PATH` of each request. */
  readonly requests: string[];
}

/**
 * A registry that serves one tiny image under any repository and tag, honest except where `lie` says
 * otherwise. `what` is `tag`, or the digest that is asked for.
 */
export async function startLyingRegistry(
  layout: TinyLayout,
  lie: (what: string) => Lie | undefined = () => undefined,
): Promise<LyingRegistry> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method ?? ''} ${request.url ?? ''}`);
    answer(layout, lie, request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function answer(
  layout: TinyLayout,
  lie: (what: string) => Lie | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = request.url ?? '';
  if (url === '/v2/') return void response.end('{}');
  const last = url.slice(url.lastIndexOf('/') + 1);
  const digest = last.includes(':') ? last : layout.target.digest;
  const { body: other, cutAfter, slowly, status, halfUntil } = lie(last.includes(':') ? last : 'tag') ?? {};
  const body = other ?? [...layout.blobs].find(([name]) => name === digest)?.[1];
  if (body === undefined || status !== undefined) {
    response.statusCode = status ?? 404;
    return void response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}');
  }
  const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (from > 0) {
    response.statusCode = 206;
    response.setHeader('content-range', `bytes ${from}-${body.length - 1}/${body.length}`);
  }
  response.setHeader('content-length', body.length - from);
  if (url.includes('/manifests/')) {
    response.setHeader('content-type', mediaTypeOf(body) ?? layout.target.mediaType);
    if (other === undefined) response.setHeader('docker-content-digest', digest);
  }
  if (request.method === 'HEAD') return void response.end();
  const end = cutAfter === undefined ? body.length : Math.min(body.length, from + cutAfter);
  const piece = Math.min(PIECE_BYTES, Math.ceil(body.length / 2));
  for (let at = from; at < end; at += piece) {
    if (at >= body.length / 2) await halfUntil;
    await new Promise((written) => response.write(body.subarray(at, Math.min(end, at + piece)), written));
    if (slowly !== undefined) await new Promise((resolve) => setTimeout(resolve, slowly));
    if (response.destroyed) return;
  }
  if (end === body.length) return void response.end();
  // What was written is only in the kernel's hands; cutting at once would take it back.
  await new Promise((resolve) => setTimeout(resolve, 50));
  response.destroy();
}

function mediaTypeOf(body: Buffer): string | undefined {
  try {
    const { mediaType } = JSON.parse(body.toString()) as { mediaType?: string };
    return mediaType;
  } catch {
    return undefined;
  }
}
