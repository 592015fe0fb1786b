import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { serveStore } from '../../src/entries/serve.js';
import { load, loadEvents, save, saveEvents } from '../../src/entries/transfer.js';
import {
  bundleImage,
  collectGarbage,
  copy,
  copyEvents,
  diskUsage,
  exportImage,
  fsck,
  imageMounts,
  listImages,
  mountImage,
  openStore,
  pinImage,
  pull,
  pullEvents,
  removeImage,
  resolveImage,
  type Store,
  sync,
  syncEvents,
  tagImage,
  unmountImage,
  unpackImage,
} from '../../src/index.js';
import { collected } from '../support/exported.js';
import { imageSteps } from '../support/image-steps.js';
import { ScriptedRegistry } from '../support/scripted-registry.js';
import { putImage } from '../support/stored-image.js';
import { makeTinyLayout } from '../support/tiny-image.js';

const HERE = 'docker.io/library/here:1';
const HALF_OF_A_LAYER = 50_000;

/** What an operation is given: all of it is there, but for the rest of each layer of `far`. */
interface Place {
  readonly store: Store;
  /** An image at a registry that stops in the middle of each layer. */
  readonly far: string;
  /** An empty directory. */
  readonly work: string;
  /** A mirror file that asks for `far`, into a layout in `work`. */
  readonly mirror: string;
}

let registry: ScriptedRegistry;
let transport: Place;
let scratch: string;

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-abort-'));
  const layers = ['one', 'two'].map((path) => [{ path, content: randomBytes(2 * HALF_OF_A_LAYER) }]);
  const layout = await makeTinyLayout(directory, { layers });
  await rm(directory, { recursive: true });
  registry = await ScriptedRegistry.start([]);
  const blobs = { ranges: true, stallAfter: HALF_OF_A_LAYER } as const;
  registry.expect(...imageSteps(layout, { repository: 'team/app', tag: '1', blobs }));
});
afterAll(() => registry[Symbol.asyncDispose]());

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'landfall-abort-'));
  const work = await mkdtemp(join(scratch, 'work-'));
  const store = await openStore({ root: join(scratch, 'store') });
  await putImage(store, HERE, { layers: ['one', 'two'], unpack: true });
  const mirror = join(scratch, 'mirror.yaml');
  const far = `${registry.address}/team/app:1`;
  await writeFile(
    mirror,
    `version: 1
sources: [{ registry: "${registry.address}", repositories: [{ name: team/app, tags: ["1"] }], referrers: false }]
destinations: ["oci:${join(work, 'to')}"]
`,
  );
  transport = { store, far, work, mirror };
});
afterEach(async () => {
  await transport.store.close();
  await rm(scratch, { recursive: true });
});

type Row = readonly [name: string, run: (transport: Place, o: Tried) => Promise<unknown>];

interface Tried {
  readonly signal: AbortSignal;
  /** To be called when the operation is in its middle. */
  readonly amid: () => void;
}

/** Those that tell of themselves, or wait for a registry. */
const LONG: readonly Row[] = [
  ['pull', ({ store, far }, o) => pull({ store, reference: far, ...whileArriving(o) })],
  [
    'pull without unpacking',
    ({ store, far }, o) => pull({ store, reference: far, unpack: false, ...whileArriving(o) }),
  ],
  [
    'copy to a layout',
    ({ far, work }, o) =>
      copy({
        source: `docker://${far}`,
        destination: `oci:${work}/to`,
        referrers: false,
        ...whileArriving(o),
      }),
  ],
  [
    'copy to the store',
    ({ store, far }, o) =>
      copy({
        store,
        source: `docker://${far}`,
        destination: 'copied',
        referrers: false,
        ...whileArriving(o),
      }),
  ],
  [
    'save',
    ({ far, work }, o) =>
      save({
        referrers: false,
        sources: [`docker://${far}`],
        archive: { file: join(work, 'to.tar') },
        ...whileArriving(o),
      }),
  ],
  ['sync', ({ mirror }, o) => sync({ file: mirror, ...whileArriving(o) })],
  [
    'load from a stream that does not end',
    ({ store }, o) => load({ store, archive: { stream: endless(o) }, signal: o.signal }),
  ],
  [
    'unpackImage',
    ({ store, work }, o) => unpackImage(store, HERE, join(work, 'to'), { signal: o.signal, onEvent: o.amid }),
  ],
  [
    'bundleImage',
    ({ store, work }, o) =>
      bundleImage(store, HERE, join(work, 'to'), { rootless: true, signal: o.signal, onEvent: o.amid }),
  ],
  [
    'exportImage',
    ({ store }, o) =>
      exportImage(store, HERE, { signal: o.signal, onEvent: o.amid }).then(({ archive }) =>
        collected(archive),
      ),
  ],
  [
    'exportImage while it is read',
    async ({ store }, o) => {
      const { archive } = await exportImage(store, HERE, { signal: o.signal });
      for await (const chunk of archive) if (chunk.length > 0) o.amid();
    },
  ],
  [
    'fsck',
    ({ store }, o) =>
      fsck(store, {
        signal: o.signal,
        onStep: (step) => {
          if (step === 'manifests') o.amid();
        },
      }),
  ],
  ['openStore', ({ work }, o) => openStore({ root: join(work, 'new'), signal: soon(o) })],
  ['listImages', ({ store }, o) => listImages(store, { signal: soon(o) })],
  ['diskUsage', ({ store }, o) => diskUsage(store, { signal: soon(o) })],
  ['collectGarbage', ({ store }, o) => collectGarbage(store, { signal: soon(o), unusedForMs: 0 })],
  ['removeImage', ({ store }, o) => removeImage(store, HERE, { signal: soon(o) })],
  ['tagImage', ({ store }, o) => tagImage(store, HERE, 'there:1', { signal: soon(o) })],
  ['mountImage', ({ store, work }, o) => mountImage(store, HERE, work, { signal: soon(o) })],
];

/** Those that take a moment, and are not left in their middle. */
const SHORT: readonly Row[] = [
  ['imageMounts', ({ store }, { signal }) => imageMounts(store, HERE, { signal })],
  ['unmountImage', ({ store, work }, { signal }) => unmountImage(store, work, { signal })],
  ['pinImage', ({ store }, { signal }) => pinImage(store, HERE, true, { signal })],
  ['resolveImage', ({ store }, { signal }) => resolveImage(store, HERE, { signal })],
  ['serveStore', ({ store }, { signal }) => serveStore({ store, signal })],
];

/** Aborts when a layer has begun to arrive, at the registry's and at this side. */
function whileArriving({ signal, amid }: Tried): { signal: AbortSignal; onEvent: () => void } {
  return {
    signal,
    onEvent: () => {
      if ([...registry.underWay].some(({ line }) => line.startsWith('GET') && line.includes('/blobs/')))
        amid();
    },
  };
}

/** Aborts after the first step that takes any time. */
function soon({ signal, amid }: Tried): AbortSignal {
  process.nextTick(amid);
  return signal;
}

/** The beginning of an archive, after which nothing comes. */
function endless({ amid }: Tried): PassThrough {
  const stream = new PassThrough();
  stream.write(Buffer.alloc(512, 1));
  setImmediate(amid);
  return stream;
}

async function expectAborted(run: Row[1], amidst: boolean): Promise<void> {
  const before = await namesIn(transport.store);
  const controller = new AbortController();
  let reached = !amidst;
  if (!amidst) controller.abort(new Error('enough'));
  const amid = (): void => {
    reached = true;
    controller.abort(new Error('enough'));
  };
  await expect(run(transport, { signal: controller.signal, amid })).rejects.toMatchObject({
    code: 'ABORTED',
  });
  expect(reached).toBe(true);
  await expectNothingLeft(before);
}

/** But for partial downloads, which the next one goes on from. */
async function expectNothingLeft(names: readonly string[]): Promise<void> {
  const { store, work } = transport;
  expect(await namesIn(store)).toEqual(names);
  expect(await store.database.all('SELECT id FROM leases')).toEqual([]);
  expect((await store.catalog.get(HERE))?.pinned).toBe(false);
  const { blobs, snapshots } = await collectGarbage(store, { dryRun: true });
  // Manifest and config of what was not brought whole are blobs by themselves; layers are not.
  expect(blobs.filter(({ size }) => size > HALF_OF_A_LAYER)).toEqual([]);
  expect(snapshots).toEqual([]);
  expect(await readdir(join(store.root, 'snapshots'))).toHaveLength(2);
  const left = (await readdir(work, { recursive: true })).filter((path) =>
    /to\.tar$|^to\/(?!blobs|index|oci-layout|ingest)/.test(path),
  );
  expect(left).toEqual([]);
}

async function namesIn({ catalog }: Store): Promise<readonly string[]> {
  return (await catalog.list()).map(({ name }) => name);
}

describe('what is aborted', () => {
  it.each(LONG)('in its middle rejects with ABORTED and leaves nothing behind: %s', async (_name, run) => {
    await expectAborted(run, true);
  });

  it.each([...LONG, ...SHORT])('before it begins does nothing: %s', async (name, run) => {
    if (name.startsWith('exportImage while')) return;
    await expectAborted(run, false);
  });
});

describe('a loop over events that is left', () => {
  it.each<readonly [string, (transport: Place) => AsyncIterable<{ readonly type: string }>]>([
    ['pullEvents', ({ store, far }) => pullEvents({ store, reference: far })],
    [
      'copyEvents',
      ({ far, work }) =>
        copyEvents({ source: `docker://${far}`, destination: `oci:${work}/to`, referrers: false }),
    ],
    [
      'saveEvents',
      ({ far, work }) =>
        saveEvents({
          referrers: false,
          sources: [`docker://${far}`],
          archive: { file: join(work, 'to.tar') },
        }),
    ],
    ['syncEvents', ({ mirror }) => syncEvents({ file: mirror })],
    [
      'loadEvents',
      ({ store, work }) => loadEvents({ store, archive: { file: join(work, '../mirror.yaml') } }),
    ],
  ])('has ended when the loop has: %s', async (name, events) => {
    const before = await namesIn(transport.store);
    const loop = async (): Promise<void> => {
      for await (const event of events(transport))
        if (event.type === 'blob' || event.type === 'content') break;
    };
    if (name === 'loadEvents') await expect(loop()).rejects.toMatchObject({ code: 'BAD_ARCHIVE' });
    else await loop();
    expect(registry.underWay.size).toBe(0);
    await expectNothingLeft(before);
  });
});
