/*
 * The other side of bench/http2.ts, a process of its own so that the client has a core: Node's HTTP/2 server, which
 * speaks HTTP/1.1 too, and delaying proxies. Prints the ports as JSON once all listen; ends with its standard input.
 *
 * Usage: node dist/bench/http2-server.js CERTIFICATE KEY ONE_WAY_MS PORT      delays what goes to PORT too
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';

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

/** Passes everything on, each way so many milliseconds later, and as much as comes. */
function delayingProxy(port: number, ms: number): net.Server {
  return net.createServer({ noDelay: true }, (near) => {
    const far = net.connect({ port, host: '127.0.0.1', noDelay: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk) => setTimeout(() => to.destroyed || to.write(chunk), ms));
      from.on('close', () => setTimeout(() => to.destroy(), ms));
      from.on('error', () => undefined);
    }
  });
}

async function listen(server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

async function main(): Promise<void> {
  const [cert = '', key = '', delay = '', other = ''] = process.argv.slice(2);
  const node = await listen(nodeServer(readFileSync(cert), readFileSync(key)));
  const farNode = await listen(delayingProxy(node, Number(delay)));
  const far = await listen(delayingProxy(Number(other), Number(delay)));
  console.log(JSON.stringify({ node, farNode, far } satisfies Ports));
  process.stdin.resume();
  await once(process.stdin, 'end');
  process.exit();
}

await main();
