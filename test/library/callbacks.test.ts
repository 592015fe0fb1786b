import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { serveStore } from '../../src/entries/serve.js';
import { load, save } from '../../src/entries/transfer.js';
import {
  bundleImage,
  copy,
  exportImage,
  fsck,
  openRegistry,
  openStore,
  pull,
  type Store,
  sync,
  unpackImage,
} from '../../src/index.js';
import { collected } from '../support/exported.js';
import { SlowImages } from '../support/slow-images.js';
import { putImage } from '../support/stored-image.js';

const HERE = 'docker.io/library/here:1';
const LAYER_BYTES = 600_000;

/** What an operation is given. */
interface Place {
  readonly store: Store;
  /** An image at a registry. */
  readonly far: string;
  /** An empty directory. */
  readonly work: string;
  /** A mirror file that asks for `far`, into a layout in `work`. */
  readonly mirror: string;
}

/** What operations tell. */
type Event = string | { readonly type: string; readonly state?: string; readonly bytes?: number };
type Callback = (event: Event) => unknown;

interface Row {
  readonly name: string;
  readonly run: (transport: Place, onEvent: Callback) => Promise<unknown>;
  /** At which kind of event its callback throws; at each by default, one after the other. */
  readonly at?: string;
}

const ROWS: readonly Row[] = [
  { name: 'pull', run: ({ store, far }, onEvent) => pull({ store, reference: far, onEvent }) },
  {
    name: 'pull of what is here',
    run: async ({ store, far }, onEvent) => {
      await pull({ store, reference: far });
      await pull({ store, reference: far, onEvent });
    },
    at: 'done',
  },
  {
    name: 'pull of a layer that is on its way elsewhere',
    run: async ({ store, far }, onEvent) => {
      const [layer] = images.layouts[0]?.manifests[0].layers ?? [];
      await using elsewhere = layer && (await store.content.ingest(layer));
      const end = async (event: Event): Promise<void> => {
        if (kindOf(event) === 'blob elsewhere') await elsewhere?.[Symbol.asyncDispose]();
      };
      const reported = (event: Event): void => {
        void end(event);
        onEvent(event);
      };
      await pull({ store, reference: far, onEvent: reported });
    },
    at: 'blob elsewhere',
  },
  {
    name: 'copy to a layout',
    run: ({ far, work }, onEvent) =>
      copy({ source: `docker://${far}`, destination: `oci:${work}/to`, referrers: false, onEvent }),
  },
  {
    name: 'copy to the store',
    run: ({ store, far }, onEvent) =>
      copy({ store, source: `docker://${far}`, destination: 'copied', referrers: false, onEvent }),
  },
  {
    name: 'save',
    run: ({ far, work }, onEvent) =>
      save({
        referrers: false,
        sources: [`docker://${far}`],
        archive: { file: join(work, 'to.tar') },
        onEvent,
      }),
  },
  {
    name: 'load',
    run: async ({ store, work }, onEvent) => {
      const archive = { file: join(work, 'saved.tar') };
      await save({ store, sources: [HERE], archive });
      await load({ store, archive, onEvent });
    },
  },
  { name: 'sync', run: ({ mirror }, onEvent) => sync({ file: mirror, onEvent }) },
  {
    name: 'unpackImage',
    run: ({ store, work }, onEvent) => unpackImage(store, HERE, join(work, 'to'), { onEvent }),
  },
  {
    name: 'bundleImage',
    run: ({ store, work }, onEvent) =>
      bundleImage(store, HERE, join(work, 'to'), { rootless: true, onEvent }),
    at: 'layer unpacked amid',
  },
  {
    name: 'exportImage',
    run: async ({ store }, onEvent) => collected((await exportImage(store, HERE, { onEvent })).archive),
  },
  { name: 'fsck', run: ({ store }, onStep) => fsck(store, { onStep }), at: 'manifests' },
];

let images: SlowImages;
beforeAll(async () => {
  images = await SlowImages.start([{ name: 'team/app', layers: [LAYER_BYTES, LAYER_BYTES] }], {
    bytesPerSecond: 5e6,
  });
});
afterAll(() => images[Symbol.asyncDispose]());

async function makeTransport(): Promise<Place & AsyncDisposable> {
  const scratch = await mkdtemp(join(tmpdir(), 'landfall-callbacks-'));
  const [far = ''] = images.references;
  const store = await openStore({ root: join(scratch, 'store'), sync: 'none', workers: 1 });
  await putImage(store, HERE, { layers: ['one', 'two'] });
  const work = await mkdtemp(join(scratch, 'work-'));
  const mirror = join(scratch, 'mirror.yaml');
  await writeFile(
    mirror,
    `version: 1
sources: [{ registry: "${images.registry.address}", repositories: [{ name: team/app, tags: ["1"] }], referrers: false }]
destinations: ["oci:${join(work, 'to')}"]
`,
  );
  const dispose = async (): Promise<void> => {
    await store.close();
    await rm(scratch, { recursive: true });
  };
  return { store, far, work, mirror, [Symbol.asyncDispose]: dispose };
}

/** What has come so far is told from elsewhere than where a thing begins. */
function kindOf(event: Event): string {
  if (typeof event === 'string') return event;
  const { type, state = '', bytes = 0 } = event;
  return `${type} ${state}${bytes > 0 ? ' amid' : ''}`.trim();
}

async function expectNothingLeft({ store }: Place): Promise<void> {
  expect(await store.database.all('SELECT id FROM leases')).toEqual([]);
  const snapshots = await store.database.all('SELECT id FROM snapshots');
  expect(await readdir(join(store.root, 'snapshots'))).toHaveLength(snapshots.length);
}

async function expectUsable(transport: Place, run: Row['run']): Promise<void> {
  const { store, work } = transport;
  await rm(work, { recursive: true });
  await mkdir(work);
  await run(transport, () => undefined);
  expect(await fsck(store)).toMatchObject({ sound: true });
}

describe('what a callback throws', () => {
  it.each(ROWS)('is what the operation fails with, whatever it is told: $name', async ({ run, at }) => {
    const kinds = new Set<string>();
    {
      await using transport = await makeTransport();
      await run(transport, (event) => kinds.add(kindOf(event)));
    }
    expect(kinds.size).toBeGreaterThan(1);
    const again = at ?? [...kinds][kinds.size >> 1];
    for (const kind of at === undefined ? kinds : [at]) {
      await using transport = await makeTransport();
      const thrown = new Error(`at ${kind}`);
      const reported: string[] = [];
      const onEvent: Callback = (event) => {
        reported.push(kindOf(event));
        if (reported.at(-1) === kind) throw thrown;
      };
      const failure = await run(transport, onEvent).catch((error: unknown) => error);
      // What only is told now and then may not have been told this time.
      if (reported.includes(kind))
        expect([failure, reported.indexOf(kind)]).toEqual([thrown, reported.length - 1]);
      await expectNothingLeft(transport);
      // The same store can be used again; that takes as long as all else.
      if (kind === again) await expectUsable(transport, run);
    }
  });
});

describe('what an observer of a registry client throws', () => {
  it.each(['onRequest', 'onReceived'] as const)(
    'is what the pull fails with, and the client can be used again: %s',
    async (name) => {
      await using transport = await makeTransport();
      const { store, far: reference } = transport;
      let fails = true;
      let calls = 0;
      const observer = (): void => {
        calls += 1;
        if (fails && calls >= 3) throw new Error('the observer fails');
      };
      await using registry = openRegistry({
        credentials: () => Promise.resolve(undefined),
        [name]: observer,
      });
      await expect(pull({ store, registry, reference })).rejects.toThrow('the observer fails');
      await expectNothingLeft(transport);
      fails = false;
      await pull({ store, registry, reference });
      expect(images.registry.underWay.size).toBe(0);
    },
  );
});

describe('what an observer of a server throws', () => {
  it.each([
    ['is told as an error', undefined],
    ['is dropped where that throws too', new Error('told in vain')],
  ])('%s, and requests are answered', async (_, alsoThrown) => {
    await using transport = await makeTransport();
    const thrown = new Error('the observer fails');
    const reported: unknown[] = [];
    await using served = await serveStore({
      store: transport.store,
      onRequest: () => {
        throw thrown;
      },
      onError: (error) => {
        reported.push(error);
        if (alsoThrown !== undefined) throw alsoThrown;
      },
    });
    for (let nth = 1; nth <= 2; nth += 1) expect((await fetch(`http://${served.host}/v2/`)).status).toBe(200);
    await served.close();
    expect(reported).toEqual([thrown, thrown]);
  });
});
