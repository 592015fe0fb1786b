/*
 * The other side of bench/http2.ts, a process of its own so that the client has a core: Node's HTTP/2 server, which
 * speaks HTTP/1.1 too, and delaying proxies. Prints the ports as JSON once all listen; ends with its standard input.
 *
 * Usage: node dist/bench/http2-server.js CERTIFICATE KEY ONE_WAY_MS PORT      delays what goes to PORT too
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import type net from 'node:net';
import type { LineShape } from './proxies/line.js';
import { ProxyServer } from './proxies/proxy-server.js';

const PIECE = Buffer.alloc(64 * 1024, 'landfall');

export interface Ports {
  readonly node: number;
  /** The proxies before Node's server and before the other one. */
  readonly farNode: number;
  readonly far: number;
}

/** Answers `/N` with N bytes. */
function nodeServer(cert: Buffer, key: Buffer): net.Server {
  return http2.createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
    send(Number(request.url.slice(1)), request.httpVersion, response).catch(() => response.stream.destroy());
  });
}

async function send(bytes: number, version: string, response: http2.Http2ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-length': bytes, 'x-protocol': `HTTP/${version}` });
  for (let left = bytes; left > 0; left -= PIECE.length) {
    if (!response.write(left < PIECE.length ? PIECE.subarray(0, left) : PIECE)) await once(response, 'drain');
  }
  response.end();
}

async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

async function main(): Promise<void> {
  const [cert = '', key = '', delay = '', other = ''] = process.argv.slice(2);
  const node = await listen(nodeServer(readFileSync(cert), readFileSync(key)));
  const line: LineShape = { kind: 'far', oneWayMilliseconds: Number(delay) };
  await using farNode = await ProxyServer.start(node, line);
  await using far = await ProxyServer.start(Number(other), line);
  console.log(JSON.stringify({ node, farNode: farNode.port, far: far.port } satisfies Ports));
  process.stdin.resume();
  await once(process.stdin, 'end');
  process.exit();
}

await main();
