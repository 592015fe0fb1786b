import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MetadataDatabase } from '../../src/metadata/index.js';
import { connectCri, type CriClient, whyNoCriClient } from '../support/cri-client.js';
import { DaemonProcess } from '../support/daemon-process.js';
import { imageSteps } from '../support/image-steps.js';
import { landfallJson } from '../support/landfall-command.js';
import { makeLayeredLayout } from '../support/layered-image.js';
import { needsPeer } from '../support/peers.js';
import { isLong, rounds } from '../support/rounds.js';
import { errorReply, type Reply, ScriptedRegistry } from '../support/scripted-registry.js';

const reason = needsPeer('go') ?? (await whyNoCriClient());

const CLIENTS = 10;
const IMAGES = 8;
/**
 * Pulls, each followed by a removal, of all clients together: of daemons that are killed, then of one that
 * stays.
 */
const KILLED_PULLS = rounds({ short: 10, long: 50 });
const STEADY_PULLS = rounds({ short: 35, long: 350 });
const KILLS = 2;
/** A pull may fail so often, by the registry's faults and the daemon's deaths. */
const TRIES = 20;
/** A long run takes a minute where nothing else runs. */
const TIMEOUT_MS = 600_000;
/**
 * MiB by which a heap may grow that nothing leaks into: it was 27 at most. A MiB that each pull leaks makes
 * 70 of a long run.
 */
const MAY_GROW_BY = 50;

describe.skipIf(reason !== undefined)('a daemon that is used by many, killed and lied to', () => {
  let work: string;
  let registry: ScriptedRegistry;
  let daemon: DaemonProcess;
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
    await daemon[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  /**
   * Open descriptors of a daemon without its connections to the registry, of which it keeps some for the next
   * pull.
   */
  const openFiles = async (pid: number): Promise<number> =>
    (await readdir(`/proc/${pid}/fd`)).length - registry.open;
  /** In MiB. */
  const resident = async (pid: number): Promise<number> =>
    Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

  it(
    'ends with a sound store, takes no more and more, and leaves nothing of what failed',
    { timeout: TIMEOUT_MS },
    async () => {
      const root = join(work, 'store');
      const socket = join(work, 's.sock');
      const args = ['--sync', 'blobs'];
      daemon = await DaemonProcess.start(root, socket, args);
      let restarting: Promise<void> | undefined;
      const restart = async (): Promise<void> => {
        await daemon.end('SIGKILL');
        daemon = await DaemonProcess.start(root, socket, args);
        restarting = undefined;
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
      /** Tells each time that a pull and a removal are done, and waits for what comes of it. */
      const use = async (pulls: number, onDone: (done: number) => Promise<void>): Promise<void> => {
        let begun = 0;
        let done = 0;
        const workers = Array.from({ length: CLIENTS }, async () => {
          await using client = await connectCri(socket);
          while (begun < pulls) {
            begun += 1;
            await insist(client, 'PullImage', Math.floor(chance() * IMAGES));
            await insist(client, 'RemoveImage', Math.floor(chance() * IMAGES));
            await onDone((done += 1));
          }
        });
        await Promise.all(workers);
      };

      let kills = 0;
      await use(KILLED_PULLS, async (done) => {
        if (kills === KILLS || restarting !== undefined) return;
        if (done < ((kills + 1) * KILLED_PULLS) / (KILLS + 1)) return;
        kills += 1;
        await (restarting = restart());
      });
      expect(kills).toBe(KILLS);

      await using client = await connectCri(socket);
      const pullAll = async (): Promise<void> => {
        for (let n = 0; n < IMAGES; n += 1) await insist(client, 'PullImage', n);
      };
      await pullAll();
      const files = await openFiles(daemon.pid);
      const memory: number[] = [];
      await use(STEADY_PULLS, async () => void memory.push(await resident(daemon.pid)));
      const quarters = [0, 1, 2, 3].map((quarter) => medianOf(quarterOf(memory, quarter)));
      const [, warm = 0, , last = 0] = quarters;
      expect(last, `medians of the quarters: ${quarters.join(', ')}`).toBeLessThan(warm + MAY_GROW_BY);
      await pullAll();
      expect(await client.list()).toHaveLength(IMAGES);
      await expect.poll(() => openFiles(daemon.pid), { timeout: 10_000 }).toBeLessThanOrEqual(files);
      if (isLong) emit({ quarters, filesBefore: files, filesAfter: await openFiles(daemon.pid) });

      expect(await daemon.end()).toBe(143);
      await expectSound(root);
    },
  );
});

/** No lease, no partial download, and nothing that is damaged, in a store that nobody uses. */
async function expectSound(root: string): Promise<void> {
  expect(await leases(root)).toEqual([]);
  const left = (): Promise<string[]> => readdir(join(root, 'ingest'), { recursive: true });
  expect((await left()).filter((each) => each.endsWith('/data'))).toEqual([]);
  // Who was killed right after a commit leaves the empty directory of its download, which expires as a
  // download would.
  await landfallJson(['--root', root, 'gc', '--partials-older-than', '0s']);
  expect(await left()).toEqual([]);
  const report = await landfallJson<{ problems: unknown[] }>(['--root', root, 'fsck']);
  expect(report.problems).toEqual([]);
}

function quarterOf(values: readonly number[], quarter: number): readonly number[] {
  const at = (part: number): number => Math.floor((values.length * part) / 4);
  return values.slice(at(quarter), at(quarter + 1));
}

function medianOf(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** As the database has them, before anybody opens the store who would sweep them. */
async function leases(root: string): Promise<readonly object[]> {
  const database = await MetadataDatabase.open(join(root, 'metadata.db'), { create: false });
  try {
    return await database.all('SELECT id, owner FROM leases');
  } finally {
    await database.close();
  }
}

function emit(figures: object): void {
  process.stderr.write(`soak: ${JSON.stringify(figures)}\n`);
}
