import { readdir, readFile } from 'node:fs/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore } from '../../src/engine/index.js';
import { connectCri, type CriClient, whyNoCriClient } from '../support/cri-client.js';
import { DaemonProcess } from '../support/daemon-process.js';
import { imageSteps } from '../support/image-steps.js';
import { landfallJson } from '../support/landfall-command.js';
import { makeLayeredLayout } from '../support/layered-image.js';
import { needsPeer } from '../support/peers.js';
import { rounds } from '../support/rounds.js';
import { errorReply, type Reply, ScriptedRegistry } from '../support/scripted-registry.js';
import type { TinyLayout } from '../support/tiny-image.js';

const reason = needsPeer('go') ?? (await whyNoCriClient());

const CLIENTS = 10;
const IMAGES = 8;
/** Pulls, each followed by a removal, of all clients together. */
const PULLS = rounds({ short: 40, long: 200 });
const KILLS = 2;
/** A pull may fail so often, by the registry's faults and the daemon's deaths. */
const TRIES = 20;

describe.skipIf(reason !== undefined)('a daemon that is used by many, killed and lied to', () => {
  let work: string;
  let registry: ScriptedRegistry;
  const layouts: TinyLayout[] = [];
  let random = 20_260_101;
  /** The same numbers each time: a linear congruential generator. */
  const chance = (): number => {
    random = (random * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return random / 2 ** 32;
  };

  /** Of ten requests for a blob three go wrong. */
  const fault = (body: Buffer): Reply | undefined => {
    const dice = chance();
    if (dice < 0.1) return errorReply(500, 'UNKNOWN');
    if (dice < 0.2) return { body, ranges: true, dropAfter: Math.floor(body.length * chance()) };
    if (dice < 0.25) return { body, ranges: true, dropAfter: -1 };
    if (dice < 0.3) return { body, ranges: true, bytesPerSecond: 2_000_000 };
    return undefined;
  };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-soak-'));
    registry = await ScriptedRegistry.start([]);
    for (let n = 0; n < IMAGES; n += 1) {
      const layout = await makeLayeredLayout(join(work, `image-${n}`), {
        layers: 3,
        files: 20,
        fileBytes: 8_000,
      });
      layouts.push(layout);
      const layers = new Map(
        layout.manifests[0].layers.map(({ digest }) => [digest as string, layout.blobs.get(digest)]),
      );
      registry.expect(
        ...imageSteps(layout, {
          repository: 'fleet/app',
          tag: String(n),
          first: ({ line }) => {
            const body = layers.get(line.slice(line.lastIndexOf('/') + 1));
            return body === undefined || !line.startsWith('GET') ? undefined : fault(body);
          },
        }),
      );
    }
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const openFiles = async (pid: number): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length;
  const residentMegabytes = async (pid: number): Promise<number> =>
    Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

  it('ends with a sound store, and nothing left of what failed', async () => {
    const root = join(work, 'store');
    const socket = join(work, 's.sock');
    const args = ['--sync', 'blobs'];
    let daemon = await DaemonProcess.start(root, socket, args);
    let done = 0;
    let kills = 0;
    let restarting: Promise<void> | undefined;
    const restart = async (): Promise<void> => {
      await daemon.end('SIGKILL');
      daemon = await DaemonProcess.start(root, socket, args);
    };
    const name = (n: number): string => `${registry.address}/fleet/app:${n}`;
    /** Until it works: whatever fails on the way is what was meant to. */
    const insist = async (
      client: CriClient,
      method: 'PullImage' | 'RemoveImage',
      n: number,
    ): Promise<void> => {
      for (let left = TRIES; ; left -= 1) {
        const { error } = await client.ask(method, { image: { image: name(n) } });
        if (error === undefined) return;
        if (left === 0) throw new Error(`${method} ${name(n)}: ${error.code}: ${error.message}`);
        await restarting;
      }
    };
    const memory: number[] = [];
    await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        await using client = await connectCri(socket);
        while (done < PULLS) {
          done += 1;
          await insist(client, 'PullImage', Math.floor(chance() * IMAGES));
          await insist(client, 'RemoveImage', Math.floor(chance() * IMAGES));
          if (kills < KILLS && done >= ((kills + 1) * PULLS) / (KILLS + 1)) {
            kills += 1;
            await (restarting = restart());
          }
          memory.push(await residentMegabytes(daemon.pid).catch(() => 0));
        }
      }),
    );
    expect(kills).toBe(KILLS);
    await using client = await connectCri(socket);
    for (let n = 0; n < IMAGES; n += 1) await insist(client, 'PullImage', n);
    expect(await client.list()).toHaveLength(IMAGES);
    const before = await openFiles(daemon.pid);
    for (let n = 0; n < IMAGES; n += 1) await insist(client, 'RemoveImage', n);
    for (let n = 0; n < IMAGES; n += 1) await insist(client, 'PullImage', n);
    // A connection to the registry more or less is no leak.
    expect(await openFiles(daemon.pid)).toBeLessThanOrEqual(before + CLIENTS);
    expect(Math.max(...memory.slice(-5))).toBeLessThan(300);
    expect(await daemon.end()).toBe(143);
    const left = (): Promise<string[]> => readdir(join(root, 'ingest'), { recursive: true });
    expect((await left()).filter((name) => name.endsWith('/data'))).toEqual([]);
    // Who was killed right after a commit leaves the empty directory of its download, which expires as a download would.
    await landfallJson(['--root', root, 'gc', '--partials-older-than', '0s']);
    expect(await left()).toEqual([]);
    const report = await landfallJson<{ problems: unknown[] }>(['--root', root, 'fsck']);
    expect(report.problems).toEqual([]);
    await using store = await openStore({ root });
    expect(await store.leases.sweep()).toBe(0);
    expect(await store.database.get('SELECT count(*) AS count FROM leases')).toEqual({ count: 0 });
  });
});
