/*
 * What the store's own commands cost when the store is large. Method: a store of 2,000 images (four platforms each, one
 * unpacked; twenty images share their lowest layers), 100,000 blobs and 20,000 snapshots is written into a temporary
 * directory, with small layers, since none of these commands reads one. Each thing is measured five times after one round
 * to warm up: `command` is the built command from its start to its end, `in process` the function beneath it with the store
 * open, memory the command's high-water mark (VmHWM). Printed are median, minimum and maximum, the median of the processor
 * time, which says more on a busy machine, and the target.
 *
 * `gc, a tenth gone`: the names of every tenth image were removed before, another tenth each round; they are put back after it.
 * `rmi`: one image each, whose lowest layers others need. No peer keeps images, blobs and unpacked layers in one such store and
 * could be filled as quickly, so there is no ratio; what Node itself takes is the first line.
 *
 * Usage: node dist/bench/scale.js [--images N] [--blobs N] [--snapshots N] [--root DIR] [PART-OF-A-LINE'S-NAME]
 *   --root DIR: an absent or empty directory for the store, which is kept; one that was filled by this is measured again
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { formatDuration, renderTable } from '../src/cli/format/text.js';
import { collectGarbage } from '../src/engine/upkeep/collect-garbage.js';
import { listImages } from '../src/engine/images/images.js';
import { openStore, type Store } from '../src/engine/store.js';
import { removeImage } from '../src/engine/images/names.js';
import { integerOf } from '../src/metadata/index.js';
import type { Sample } from './contract.js';
import { measureCommand } from './measure.js';
import { ScaleStore, type StoreShape } from './scale-store.js';
import { summarize } from './statistics.js';
import { formatSize } from '../src/spec/index.js';

const LANDFALL = resolve(import.meta.dirname, '../bin/landfall.js');
const ROUNDS = 5;

/** Without memory where it is of this process. */
type Run = Pick<Sample, 'wallSeconds' | 'cpuSeconds'> & Partial<Pick<Sample, 'peakBytes'>>;

interface Measured {
  readonly what: string;
  readonly how: 'command' | 'in process';
  readonly runs: readonly Run[];
  readonly target?: string;
}

async function main(): Promise<void> {
  const shape = readShape();
  const work = await mkdtemp(join(tmpdir(), 'landfall-scale-'));
  try {
    const root = shape.root ?? join(work, 'store');
    await fill(root, shape);
    const measured = await measureAll(root, join(work, 'empty'), shape);
    console.log(`\n${render(measured)}\nload of the machine now: ${(loadavg()[0] ?? 0).toFixed(1)}`);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

interface Asked extends StoreShape {
  readonly root: string | undefined;
  /** Measured is what has this in its name. */
  readonly part: string;
}

function readShape(): Asked {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      images: { type: 'string', default: '2000' },
      blobs: { type: 'string', default: '100000' },
      snapshots: { type: 'string', default: '20000' },
      root: { type: 'string' },
    },
  });
  return {
    images: Number(values.images),
    blobs: Number(values.blobs),
    snapshots: Number(values.snapshots),
    root: values.root === undefined ? undefined : resolve(values.root),
    part: positionals[0] ?? '',
  };
}

async function fill(root: string, shape: StoreShape): Promise<void> {
  await using store = await openStore({ root, snapshotter: 'overlay' });
  const wanted = [shape.images, shape.blobs, shape.snapshots];
  const count = (): Promise<number[]> =>
    Promise.all(['images', 'blobs', 'snapshots'].map((table) => countRows(store, table)));
  const begun = performance.now();
  if (String(await count()) !== String(wanted)) await new ScaleStore(store, shape).write(every(shape.images));
  const [images, blobs, snapshots] = await count();
  console.log(
    `${images} images, ${blobs} blobs, ${snapshots} snapshots in ${root}, written in ${since(begun)}`,
  );
}

async function countRows(store: Store, table: string): Promise<number> {
  const row = await store.database.get(`SELECT count(*) AS count FROM ${table}`);
  return row === undefined ? 0 : integerOf(row, 'count');
}

/** In an order in which none changes what the next finds. */
async function measureAll(root: string, empty: string, shape: Asked): Promise<Measured[]> {
  const done = new Measurements(shape.part);
  const command = async (what: string, target: string, args: readonly string[]): Promise<void> => {
    await done.add({ what, how: 'command', target }, () =>
      measureCommand(process.execPath, [LANDFALL, ...args]),
    );
  };
  const inProcess = async (
    what: string,
    target: string,
    step: (store: Store) => Promise<unknown>,
  ): Promise<void> => {
    await using store = await openStore({ root });
    await done.add({ what, how: 'in process', target }, () => timed(() => step(store)));
  };
  await command('--version', '', ['--version']);
  await command('images, empty store', '', ['images', '--root', empty]);
  await done.add({ what: 'open and close', how: 'in process', target: '30 ms' }, () =>
    timed(async () => (await openStore({ root })).close()),
  );
  await command('images', '500 ms', ['images', '--root', root]);
  await inProcess('images', '500 ms', listImages);
  await command('df', '', ['df', '--root', root]);
  await command('fsck --quick', '', ['fsck', '--quick', '--root', root]);
  await command('gc, nothing to do', '15 s, 400 MB', ['gc', '--root', root]);
  await inProcess('gc, nothing to do', '15 s', (store) => collectGarbage(store));
  await measureCollections(root, shape, done);
  await measureRemovals(root, shape, done);
  return done.all;
}

async function measureCollections(root: string, shape: StoreShape, done: Measurements): Promise<void> {
  await using store = await openStore({ root, snapshotter: 'overlay' });
  const filled = new ScaleStore(store, shape);
  let round = 0;
  await done.add({ what: 'gc, a tenth gone', how: 'command', target: '15 s, 400 MB' }, async () => {
    const gone = every(shape.images).filter((image) => image % 10 === round);
    round += 1;
    await filled.forget(gone);
    const run = await measureCommand(process.execPath, [LANDFALL, 'gc', '--root', root]);
    await filled.write(gone);
    return run;
  });
}

async function measureRemovals(root: string, shape: StoreShape, done: Measurements): Promise<void> {
  await using store = await openStore({ root, snapshotter: 'overlay' });
  const filled = new ScaleStore(store, shape);
  const images = every(2 * (ROUNDS + 1)).map((at) => Math.floor((at * shape.images) / (2 * (ROUNDS + 1))));
  const next = images.values();
  const name = (): string => filled.nameOf(next.next().value ?? 0);
  await done.add({ what: 'rmi of one image', how: 'command', target: '300 ms' }, () =>
    measureCommand(process.execPath, [LANDFALL, 'rmi', '--root', root, name()]),
  );
  await done.add({ what: 'rmi of one image', how: 'in process', target: '300 ms' }, () =>
    timed(() => removeImage(store, name())),
  );
  await filled.write(images);
}

class Measurements {
  readonly all: Measured[] = [];
  readonly #part: string;

  constructor(part: string) {
    this.#part = part;
  }

  /** One round to warm up, then those that count. */
  async add(what: Omit<Measured, 'runs'>, once: () => Promise<Run>): Promise<void> {
    if (!what.what.includes(this.#part)) return;
    process.stderr.write(`${what.what}, ${what.how} …\n`);
    await once();
    const runs: Run[] = [];
    for (let round = 0; round < ROUNDS; round++) runs.push(await once());
    this.all.push({ ...what, runs });
  }
}

async function timed(step: () => Promise<unknown>): Promise<Run> {
  const begun = performance.now();
  const before = process.cpuUsage();
  await step();
  const { user, system } = process.cpuUsage(before);
  return { wallSeconds: (performance.now() - begun) / 1000, cpuSeconds: (user + system) / 1e6 };
}

function render(measured: readonly Measured[]): string {
  return renderTable(
    [
      { title: 'WHAT' },
      { title: 'HOW' },
      { title: 'MEDIAN', align: 'right' },
      { title: 'MIN .. MAX' },
      { title: 'CPU', align: 'right' },
      { title: 'MEMORY', align: 'right' },
      { title: 'TARGET' },
    ],
    measured.map(({ what, how, runs, target }) => {
      const times = summarize(runs.map(({ wallSeconds }) => wallSeconds * 1000));
      const cpu = summarize(runs.map(({ cpuSeconds }) => cpuSeconds * 1000));
      const peaks = runs.flatMap(({ peakBytes }) => peakBytes ?? []);
      return [
        what,
        how,
        formatDuration(times.median),
        `${formatDuration(times.minimum)} .. ${formatDuration(times.maximum)}`,
        formatDuration(cpu.median),
        peaks.length === 0 ? '' : formatSize(summarize(peaks).median),
        target ?? '',
      ];
    }),
  );
}

function every(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at);
}

function since(begun: number): string {
  return formatDuration(performance.now() - begun);
}

await main();
