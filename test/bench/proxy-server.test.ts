import { createHash, randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import net from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import type { LineShape } from '../../bench/proxies/line.js';
import { ProxyServer } from '../../bench/proxies/proxy-server.js';

const SHAPES: readonly LineShape[] = [
  { kind: 'far', oneWayMilliseconds: 5 },
  { kind: 'capped', bytesPerSecond: 400 << 20 },
];
const BODY = randomBytes(3 << 20);

const broken = new EventEmitter();
const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]();
});

/** A server that does `serve` with each connection, and a proxy before it; gives what connects to that. */
async function between(shape: LineShape, serve: (socket: net.Socket) => unknown): Promise<() => net.Socket> {
  const accepted: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    serve(socket);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  open.push({
    [Symbol.asyncDispose]: async () => {
      for (const socket of accepted) socket.destroy();
      await once(server.close(), 'close');
    },
  });
  const proxy = await ProxyServer.start((server.address() as net.AddressInfo).port, shape);
  open.push(proxy);
  return () => net.connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe.each(SHAPES)('over a line that is $kind', (shape) => {
  test('what is sent comes back whole and in order, and an end only behind all of it', async () => {
    // The echo ends when the client has, so it depends on the half-close going through.
    const connect = await between(shape, (socket) => {
      socket.pipe(socket);
    });
    const socket = connect();
    const pieces = Array.from({ length: 1000 }, (_, at) => `piece ${at}\n`);
    for (const piece of pieces) socket.write(piece);
    socket.end();
    expect((await buffer(socket)).toString()).toBe(pieces.join(''));
  });

  test('a body much larger than one read comes whole to a client that was slow to take it', async () => {
    const connect = await between(shape, (socket) => socket.end(BODY));
    const socket = connect().pause();
    await once(socket, 'readable');
    expect(digestOf(await buffer(socket))).toBe(digestOf(BODY));
    socket.end();
  });

  // With one way closed already, that the other one broke off is told by different events.
  describe.each(['open', 'closed'])('while the way to the server is %s', (way) => {
    test('a server that breaks off breaks off the client', async () => {
      const connect = await between(shape, (socket) => {
        if (way === 'open') socket.resetAndDestroy();
        else socket.resume().on('end', () => socket.resetAndDestroy());
      });
      const socket = connect();
      if (way === 'closed') socket.end();
      await expect(buffer(socket)).rejects.toMatchObject({ code: 'ECONNRESET' });
    });

    test('a client that breaks off breaks off the server', async () => {
      const gone = once(broken, 'gone');
      const connect = await between(shape, (socket) => {
        socket.on('error', ({ message }) => broken.emit('gone', message));
        // It notices by writing: again and again, since the kernel takes some of it whoever is there.
        const write = (): void => void socket.write(BODY, (error) => error ?? write());
        if (way === 'open') write();
        else socket.resume().on('end', write);
      });
      const socket = connect();
      if (way === 'closed') socket.end();
      socket.once('data', () => socket.resetAndDestroy());
      expect(await gone).toEqual([expect.stringMatching(/ECONNRESET|EPIPE/)]);
    });
  });
});

test('the sender waits while the receiver takes nothing, and goes on when it does', async () => {
  const most = 40 * BODY.length;
  let sent = 0;
  const connect = await between({ kind: 'capped', bytesPerSecond: 1 << 30 }, (socket) => {
    const more = (): void => {
      while (sent < most) {
        sent += BODY.length;
        if (!socket.write(BODY)) return;
      }
      socket.end();
    };
    socket.on('drain', more);
    more();
  });
  const socket = connect().pause();
  await once(socket, 'readable');
  // It has stopped once nothing more was sent for a while; what the kernel holds by itself is far below this.
  for (let before = -1; before !== sent;) {
    before = sent;
    await new Promise((done) => setTimeout(done, 200));
  }
  expect(sent).toBeLessThan(most / 2);
  expect((await buffer(socket)).length).toBe(most);
  socket.end();
});
