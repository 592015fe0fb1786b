import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chainIds } from '../../src/spec/index.js';
import { deferred } from '../../src/concurrency/index.js';
import { connectCri, type CriClient, whyNoCriClient } from '../support/cri-client.js';
import { DaemonProcess } from '../support/daemon-process.js';
import { call, type GrpcClient, grpcClient } from '../support/grpc-client.js';
import { imageSteps } from '../support/image-steps.js';
import { makeLayeredLayout } from '../support/layered-image.js';
import { LANDFALL } from '../support/landfall-command.js';
import { MountNamespace, outputAt } from '../support/mount-namespace.js';
import { needsPeer } from '../support/peers.js';
import { COUNTING, countsOf, type ProcessCounts } from '../support/process-counts.js';
import { rounds } from '../support/rounds.js';
import { errorReply, type Reply, ScriptedRegistry, type SeenRequest } from '../support/scripted-registry.js';
import type { TinyLayout } from '../support/tiny-image.js';

const reason = needsPeer('go') ?? (await whyNoCriClient());

const METADATA = new URL('../../dist/src/metadata/index.js', import.meta.url).href;
const PULLS = rounds({ short: 50, long: 500 });
const CLIENTS = 8;
const IMAGES = 6;
/** How long a pull goes on before it is given up, at most, in milliseconds. */
const LONGEST_MS = 400;
const DISK_BYTES = 64 << 20;
const TIMEOUT_MS = 600_000;
/** How long the database is locked, in milliseconds: in a long run, longer than the daemon waits for it. */
const LOCKED_MS = rounds({ short: 1_000, long: 35_000 });

interface Counts extends ProcessCounts {
  readonly files: number;
  readonly leases: number;
}

/** By how many each may grow. What is run for the first time makes some functions and promises. */
const MAY_GROW: readonly (readonly [keyof Counts, number])[] = [
  ['timers', 0],
  ['listeners', 0],
  ['signals', 0],
  ['files', 0],
  ['leases', 0],
  ['promises', 40],
  ['functions', 40],
];

interface Image {
  readonly name: string;
  readonly layout: TinyLayout;
}

/** What became of a pull: the name of a status; `OK` where it had ended before it was to be given up. */
type Outcome = string;

describe.skipIf(reason !== undefined)('a daemon whose pulls are given up at any moment', () => {
  let work: string;
  let disk: MountNamespace;
  let root: string;
  let registry: ScriptedRegistry;
  let mirrors: readonly ScriptedRegistry[];
  let daemon: DaemonProcess;
  let cri: CriClient;
  let snapshots: GrpcClient;
  const images: Image[] = [];
  const outcomes = new Map<Outcome, number>();
  /** Whether registry and mirrors do as they should. */
  let calm = true;
  let random = 20_260_202;
  /** The same numbers each time: a linear congruential generator. */
  const chance = (): number => {
    random = (random * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return random / 2 ** 32;
  };
  const oneOf = <T>(all: readonly T[]): T => {
    const found = all[Math.floor(chance() * all.length)];
    if (found === undefined) throw new Error('there is none');
    return found;
  };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-aborts-'));
    registry = await ScriptedRegistry.start([]);
    mirrors = [await ScriptedRegistry.start([]), await ScriptedRegistry.start([])];
    for (const name of [
      'first',
      'next',
      'refused',
      ...Array.from({ length: IMAGES }, (_, n) => `app-${n}`),
    ]) {
      // More than all the others take together, so that there is no room for it whichever of them are removed
      // meanwhile.
      const fileBytes = name === 'refused' ? 400_000 : 8_000;
      const layout = await makeLayeredLayout(join(work, name), { layers: 3, files: 20, fileBytes });
      images.push({ name: `${registry.address}/fleet/${name}:1`, layout });
      const served = { repository: `fleet/${name}`, tag: '1' };
      registry.expect(
        ...imageSteps(layout, { ...served, first: (request) => faultOf(request, layout, 0.2) }),
      );
      const query = `?ns=${encodeURIComponent(registry.address)}`;
      for (const mirror of mirrors)
        mirror.expect(
          ...imageSteps(layout, { ...served, query, first: (request) => faultOf(request, layout, 0.5) }),
        );
    }
    const hosts = join(work, 'hosts', registry.address);
    await mkdir(hosts, { recursive: true });
    // Nobody listens at the first.
    const listed = ['http://127.0.0.1:1', ...mirrors.map(({ origin }) => origin)];
    await writeFile(
      join(hosts, 'hosts.toml'),
      [`server = "${registry.origin}"`, ...listed.map((origin) => `[host."${origin}"]`)].join('\n'),
    );
    disk = await MountNamespace.start();
    const mounted = join(disk.directory, 'disk');
    await mkdir(disk.reach(mounted));
    await outputAt(disk, 'mount', '-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', mounted);
    root = join(mounted, 'store');
    daemon = await DaemonProcess.start(
      root,
      join(work, 'cri.sock'),
      ['--snapshotter', `unix://${join(work, 's.sock')}`, '--hosts-dir', join(work, 'hosts')],
      { entering: disk.entering, nodeOptions: COUNTING },
    );
    cri = await connectCri(daemon.socket);
    snapshots = grpcClient(
      'containerd-snapshots-v1.proto',
      'containerd.services.snapshots.v1.Snapshots',
      join(work, 's.sock'),
    );
  });
  afterAll(async () => {
    snapshots.close();
    await cri[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
    await disk[Symbol.asyncDispose]();
    for (const server of servers()) await server[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  /** What goes wrong with so many of the requests for an image's blobs, and with few of the others. */
  function faultOf({ line }: SeenRequest, layout: TinyLayout, share: number): Reply | undefined {
    if (calm || !images.slice(3).some((image) => image.layout === layout)) return undefined;
    const path = line.split('?')[0] ?? '';
    const body = [...layout.blobs].find(([digest]) => path.endsWith(digest))?.[1];
    if (!path.includes('/blobs/') || body === undefined)
      return chance() < share / 10 ? { stallAfter: -1 } : undefined;
    if (chance() > share) return undefined;
    return oneOf<Reply>([
      { stallAfter: -1 },
      { body, ranges: true, stallAfter: Math.floor(body.length * chance()) },
      { body, ranges: true, stallAfter: Math.floor(body.length * chance()) },
      { body, ranges: true, dropAfter: Math.floor(body.length * chance()) },
      { body, ranges: true, bytesPerSecond: 200_000 },
      errorReply(503, 'UNAVAILABLE'),
    ]);
  }

  /** What is asked while it runs, of whichever host, and how long it takes; digests aside. */
  async function requestsOf(action: () => Promise<unknown>): Promise<{ asked: string[]; ms: number }> {
    const before = servers().map(({ requests }) => requests.length);
    const begun = performance.now();
    await action();
    const ms = Math.round(performance.now() - begun);
    const lines = servers().flatMap((server, at) => server.lines().slice(before[at]));
    const asked = lines.map((line) =>
      line
        .replace(/\?.*/, '')
        .replace(/sha256:.*/, 'DIGEST')
        .replace(/fleet\/[^/]*/, 'fleet/app'),
    );
    return { asked: asked.sort(), ms };
  }

  /** One pull as a kubelet or a containerd asks for it, which is given up at some moment. */
  async function pullAndGiveUp(): Promise<Outcome> {
    const image = oneOf(images.slice(3));
    const ms = Math.ceil(chance() * LONGEST_MS);
    if (chance() < 0.3) {
      const outcome = await prepare(image, 0, ms);
      await remove(chainIds(image.layout.manifests[0].diffIds)[0] ?? '');
      return outcome;
    }
    const limits = chance() < 0.5 ? { timeoutMs: ms } : { cancelMs: ms };
    const { error } = await cri.ask('PullImage', { image: { image: image.name } }, limits);
    if (chance() < 0.5) await cri.ask('RemoveImage', { image: { image: image.name } });
    return error?.code ?? 'OK';
  }

  /** Has a layer of an image brought as containerd does. */
  async function prepare({ name, layout }: Image, layer: number, ms: number): Promise<Outcome> {
    const chains = chainIds(layout.manifests[0].diffIds);
    const chainId = chains[layer] ?? '';
    const key = `extract-${chance()}`;
    const request = {
      key,
      parent: chains[layer - 1] ?? '',
      labels: {
        'containerd.io/snapshot.ref': chainId,
        'containerd.io/snapshot/cri.image-ref': name,
        'containerd.io/snapshot/cri.manifest-digest': layout.manifests[0].manifest.digest,
      },
    };
    const answered = deferred<ServiceError | null>();
    snapshots['Prepare']?.(request, new Metadata(), { deadline: Date.now() + ms }, answered.resolve);
    const error = await answered.promise;
    if (error !== null) return error.code === status.ALREADY_EXISTS ? 'OK' : `layer: ${status[error.code]}`;
    await remove(key);
    return 'layer: left to containerd';
  }

  /** Others may have removed it, or put something on it. */
  const remove = async (key: string): Promise<void> => {
    await call(snapshots, 'Remove', { key }).catch(() => undefined);
  };

  async function pullMany(
    count: number,
    onDone: (done: number) => Promise<unknown> = () => Promise.resolve(),
  ): Promise<void> {
    calm = false;
    let begun = 0;
    let done = 0;
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (begun < count) {
        begun += 1;
        const outcome = await pullAndGiveUp();
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        await onDone((done += 1));
      }
    });
    await Promise.all(clients);
    calm = true;
  }

  const servers = (): readonly ScriptedRegistry[] => [registry, ...mirrors];
  const cut = (): void => {
    for (const server of servers()) server.cut();
  };

  /**
   * Has all that was asked for come, so that nothing is kept for a containerd that comes back, and go again.
   */
  async function settle(): Promise<void> {
    // What stalls would be waited for, some seconds for each.
    cut();
    for (const image of images.slice(3)) {
      const chains = chainIds(image.layout.manifests[0].diffIds);
      for (const layer of chains.keys()) expect(await prepare(image, layer, TIMEOUT_MS)).toBe('OK');
      for (const key of chains.toReversed()) await remove(key);
      await cri.remove(image.name);
    }
    // Connections are kept for the next pull.
    cut();
    await expect.poll(() => servers().reduce((sum, { open }) => sum + open, 0)).toBe(0);
  }

  async function counts(): Promise<Counts> {
    const files = (await readdir(`/proc/${daemon.pid}/fd`)).length;
    return { ...(await countsOf(daemon)), files, leases: await leases() };
  }

  /** Runs a script beside the daemon that has its database. */
  const withDatabase = (script: string): Promise<string> =>
    outputAt(
      disk,
      process.execPath,
      '--input-type=module',
      '-e',
      `import { MetadataDatabase } from ${JSON.stringify(METADATA)};
      const database = await MetadataDatabase.open(process.argv[1], { create: false });
      ${script}
      await database.close();`,
      join(root, 'metadata.db'),
    );
  const leases = async (): Promise<number> =>
    Number(await withDatabase(`console.log((await database.all('SELECT id FROM leases')).length);`));
  const lock = (): Promise<string> =>
    withDatabase(
      `await database.transaction(() => new Promise((resolve) => setTimeout(resolve, ${LOCKED_MS})));`,
    );
  const fill = (): Promise<unknown> =>
    disk.run('sh', ['-c', 'dd if=/dev/zero of="$1" bs=4k', 'fill', join(disk.directory, 'disk', 'filling')]);
  const makeRoom = (): Promise<unknown> => disk.run('rm', [join(disk.directory, 'disk', 'filling')]);

  it('answers the next as the first, and keeps nothing of the others', { timeout: TIMEOUT_MS }, async () => {
    const [firstImage, nextImage, refusedImage] = images.map(({ name }) => name);
    const first = await requestsOf(() => cri.pull(firstImage ?? ''));
    // So that all is loaded and open that is ever needed.
    await pullMany(2 * CLIENTS);
    await settle();
    await expect.poll(leases).toBe(0);
    const before = await counts();
    outcomes.clear();

    let locked: Promise<unknown> = Promise.resolve();
    // The others go on meanwhile, and room is made only once the disk was met full.
    let refused: Promise<unknown> = Promise.resolve();
    const meetFullDisk = async (): Promise<void> => {
      await fill();
      const { error } = await cri.ask('PullImage', { image: { image: refusedImage ?? '' } });
      expect(error?.code).toBe('ResourceExhausted');
    };
    const sixth = Math.floor(PULLS / 6);
    const begun = performance.now();
    await pullMany(PULLS, async (done) => {
      if (done === sixth || done === 4 * sixth) await (refused = meetFullDisk());
      if (done === 2 * sixth || done === 5 * sixth) await refused.then(makeRoom);
      if (done === 3 * sixth) locked = lock();
    });
    await locked;
    const ms = Math.round(performance.now() - begun);
    await settle();
    let after = before;
    const grown = async (): Promise<readonly string[]> => {
      after = await counts();
      return MAY_GROW.filter(([what, by]) => after[what] > before[what] + by).map(([what]) => what);
    };
    // A timer may have some seconds to go.
    await expect.poll(grown, { timeout: 20_000, interval: 500 }).toEqual([]);
    const next = await requestsOf(() => cri.pull(nextImage ?? ''));
    process.stderr.write(
      `aborts: ${JSON.stringify({ pulls: PULLS, ms, outcomes: Object.fromEntries(outcomes), before, after, firstMs: first.ms, nextMs: next.ms })}\n`,
    );

    expect(next.asked).toEqual(first.asked);
    expect((outcomes.get('Canceled') ?? 0) + (outcomes.get('DeadlineExceeded') ?? 0)).toBeGreaterThan(
      PULLS / 4,
    );
    expect(await daemon.end()).toBe(143);
    expect(await outputAt(disk, process.execPath, LANDFALL, 'fsck', '--root', root)).toContain(
      'the store is sound',
    );
  });
});
