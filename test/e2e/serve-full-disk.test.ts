import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { digestOf } from '../../src/spec/index.js';
import { LANDFALL } from '../support/landfall-command.js';
import { outputAt } from '../support/mount-namespace.js';
import { NodeNamespace } from '../support/node-namespace.js';

const MIB = 1 << 20;
const DISK = 32 * MIB;

test('a push to a full disk is told so, what was there is served on, and the next push succeeds once there is space', async () => {
  await using node = await NodeNamespace.start();
  const disk = join(node.directory, 'disk');
  await mkdir(node.reach(disk));
  await outputAt(node, 'mount', '-t', 'tmpfs', '-o', `size=${DISK}`, 'tmpfs', disk);
  const root = join(disk, 'root');
  const options = ['serve', '--writable', '--listen', '127.0.0.1:0', '--root', root, '--log-level', 'warn'];
  const server = await node.start(process.execPath, [LANDFALL, ...options], { until: /serving .* at http/ });
  const url = /at (http:\S+)/.exec(server.log.join('\n'))?.[1] ?? '';

  const push = async (bytes: Buffer): Promise<{ status: number; place: string }> => {
    const begun = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
    const place = `${url}${begun.headers.get('location') ?? ''}`;
    const reply = await fetch(`${place}?digest=${digestOf(bytes)}`, { method: 'PUT', body: bytes });
    return { status: reply.status, place };
  };
  const pull = async (bytes: Buffer): Promise<boolean> => {
    const reply = await fetch(`${url}/v2/team/app/blobs/${digestOf(bytes)}`);
    return reply.status === 200 && Buffer.from(await reply.arrayBuffer()).equals(bytes);
  };

  const [first, large, last] = [randomBytes(8 * MIB), randomBytes(DISK), randomBytes(8 * MIB)];
  expect((await push(first)).status).toBe(201);
  const refused = await push(large);
  expect(refused.status).toBe(507);
  expect(await pull(first)).toBe(true);
  expect((await fetch(`${url}/v2/team/app/blobs/${digestOf(large)}`, { method: 'HEAD' })).status).toBe(404);
  // What came of it is there to be gone on with, until nobody wants it any more.
  const status = await fetch(refused.place);
  expect(Number(status.headers.get('range')?.split('-')[1])).toBeGreaterThan(MIB);
  expect((await fetch(refused.place, { method: 'DELETE' })).status).toBe(204);
  expect((await push(last)).status).toBe(201);
  expect([await pull(first), await pull(last)]).toEqual([true, true]);
  await server.end();
  expect(await outputAt(node, process.execPath, LANDFALL, 'fsck', '--root', root)).toContain(
    'the store is sound',
  );
});
