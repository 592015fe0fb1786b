import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

import { afterEach, describe, expect, test } from 'vitest';

import type { ServeLimits } from '../../src/serve/index.js';
import { digestOf } from '../../src/spec/index.js';
import { codesOf, replyOf, WritableRegistry } from './push/writable-registry.js';

let registry: WritableRegistry;
const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await registry[Symbol.asyncDispose]();
});

async function start(limits: Partial<ServeLimits>): Promise<void> {
  registry = await WritableRegistry.start({ limits });
}

/** A connection on which this was sent, and all that came back until it ended. */
async function open(text: string): Promise<Socket> {
  const socket = connect(registry.port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(text);
  return socket;
}

/** Writes a byte now and then, for as long as there is somebody. */
function drip(socket: Socket): void {
  const timer = setInterval(() => socket.write('x'), 20);
  socket.once('close', () => clearInterval(timer));
}

describe('a client that is slow is cut off', () => {
  const limits = { headMs: 400, stallMs: 400, leastBytesPerSecond: 1000 };

  test('with the head of its request', async () => {
    await start(limits);
    const socket = await open('GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    drip(socket);
    socket.resume();
    // What drips after that may be answered by a reset, which closes too.
    await once(socket, 'close').catch(() => undefined);
  });

  test('with an upload, of which what came is kept', async () => {
    await start(limits);
    const begun = await registry.send('POST', '/v2/team/app/blobs/uploads/');
    const place = String(begun.headers.location);
    const socket = await open(`PATCH ${place} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n`);
    drip(socket);
    socket.resume();
    await once(socket, 'close').catch(() => undefined);
    // The client sees the connection end before the server has kept what came by it.
    const held = async (): Promise<unknown> => {
      const { status, headers } = await registry.send('GET', place);
      return [status, headers.range];
    };
    await expect.poll(held).toEqual([204, expect.stringMatching(/^0-[1-9]\d*$/)]);
  });

  test('with a manifest', async () => {
    await start(limits);
    const socket = await open(
      'PUT /v2/team/app/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n',
    );
    drip(socket);
    socket.resume();
    await once(socket, 'close').catch(() => undefined);
  });

  test('with reading what it asked for', async () => {
    await start(limits);
    // More than the buffers of a connection hold.
    const { digest } = await registry.pushBlob('team/app', randomBytes(32 << 20));
    const socket = await open(`GET /v2/team/app/blobs/${digest} HTTP/1.1\r\nHost: x\r\n\r\n`);
    socket.pause();
    await expect.poll(() => registry.served.filter(({ method }) => method === 'GET').length).toBe(1);
    const [event] = registry.served.filter(({ method }) => method === 'GET');
    expect(event?.bytes).toBeLessThan(32 << 20);
    expect(event?.error).toBeDefined();
  });
});

test('a client that reads steadily is not cut off, however long it takes', async () => {
  await start({ stallMs: 1_000, leastBytesPerSecond: 1000 });
  const bytes = randomBytes(16 << 20);
  const { digest } = await registry.pushBlob('team/app', bytes);
  const socket = await open(
    `GET /v2/team/app/blobs/${digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
  );
  const parts: Buffer[] = [];
  for await (const part of socket as AsyncIterable<Buffer>) {
    parts.push(part);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const all = Buffer.concat(parts);
  expect(digestOf(all.subarray(all.indexOf('\r\n\r\n') + 4))).toBe(digest);
});

test('a connection that nobody asks anything on ends', async () => {
  await start({ idleMs: 200 });
  const socket = await open('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
  socket.resume();
  await once(socket, 'close');
});

test('a request that is one too many is told to come again, and the others go on', async () => {
  await start({ requests: 2 });
  const begun = await registry.send('POST', '/v2/team/app/blobs/uploads/');
  const place = String(begun.headers.location);
  const others = ['1', '2'].map(() =>
    registry.open('PUT', '/v2/team/app/manifests/1', { 'Content-Length': '9' }),
  );
  for (const request of others) request.write('{');
  await expect.poll(async () => (await registry.send('GET', place)).status).toBe(429);
  const refused = await registry.send('GET', '/v2/');
  expect([refused.status, codesOf(refused), refused.headers['retry-after']]).toEqual([
    429,
    'TOOMANYREQUESTS',
    '1',
  ]);
  for (const request of others) request.end('12345678');
  const replies = await Promise.all(others.map(replyOf));
  expect(replies.map(({ status }) => status)).toEqual([400, 400]);
  await expect.poll(async () => (await registry.send('GET', place)).status).toBe(204);
});

test('a connection that is one too many is closed', async () => {
  await start({ connections: 2 });
  const first = [
    await open('GET /v2/ HTTP/1.1\r\nHost: x\r\n'),
    await open('GET /v2/ HTTP/1.1\r\nHost: x\r\n'),
  ];
  const third = await open('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
  third.resume();
  await once(third, 'close');
  for (const socket of first) {
    socket.write('\r\n');
    expect(String((await once(socket, 'data'))[0])).toContain('200 OK');
  }
});

test('the rest of a body that was refused is read so far that the client sees why', async () => {
  await start({ uploadBytes: 1000 });
  const reply = await registry.send(
    'POST',
    `/v2/team/app/blobs/uploads/?digest=${digestOf(Buffer.from('x'))}`,
    {
      body: Buffer.alloc(500_000),
    },
  );
  expect([reply.status, codesOf(reply)]).toEqual([413, 'SIZE_INVALID']);
});
