import { Readable } from 'node:stream';

import { expect, test } from 'vitest';

import { createRegistryServer } from '../../src/serve/index.js';
import { MemorySource } from './memory-source.js';

test('a server that was closed has let go of its source, also for clients that it cut off', async () => {
  const source = new MemorySource();
  const { digest } = source.add('0123456789');
  // Part of the answer, and then nothing for ever.
  source.stream = () => {
    const stream = new Readable({ read: () => undefined });
    stream.push('0123');
    return stream;
  };
  const ended: number[] = [];
  const server = createRegistryServer({ source, onRequest: ({ status }) => ended.push(status) });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const replies = await Promise.all(
    Array.from({ length: 5 }, () => fetch(`http://127.0.0.1:${port}/v2/x/blobs/${digest}`)),
  );
  expect(server.requestsInFlight).toBe(5);
  const read = replies.map((reply) => reply.text().catch(() => 'cut off'));
  await server.close({ graceMs: 0 });
  expect(ended).toHaveLength(5);
  expect(source.opened.every(({ destroyed }) => destroyed)).toBe(true);
  expect(await Promise.all(read)).toEqual(Array.from({ length: 5 }, () => 'cut off'));
});
