import { getEventListeners } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Access, type ServedRequest, serveStore } from '../../src/entries/serve.js';
import {
  copy,
  listImages,
  openRegistry,
  openStore,
  pull,
  pullEvents,
  type PullProgress,
  type PullResult,
  type Store,
} from '../../src/index.js';
import { putImage } from '../support/stored-image.js';

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'landfall-library-'));
});
afterEach(() => rm(scratch, { recursive: true }));

/** A registry with one image, that one user may read. */
async function startOwned(user: string): Promise<{
  readonly reference: string;
  /** Who has asked for manifests and blobs; `undefined` for nobody. */
  readonly askedBy: Set<string | undefined>;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const store = await openStore({ root: join(scratch, `of-${user}`) });
  await putImage(store, `docker.io/team/${user}:1`, { layers: [user, 'shared'] });
  const askedBy = new Set<string | undefined>();
  const verify = (name: string, password: string): Promise<boolean> =>
    Promise.resolve(name === user && password === `secret of ${user}`);
  const served = await serveStore({
    store,
    access: new Access({ users: { verify }, anonymousRead: false }),
    onRequest: ({ path, user: by, status }: ServedRequest) => {
      if (status < 300 && /\/(?:manifests|blobs)\//.test(path)) askedBy.add(by);
    },
  });
  return {
    reference: `${served.host}/docker.io/team/${user}:1`,
    askedBy,
    [Symbol.asyncDispose]: async () => {
      await served.close();
      await store.close();
    },
  };
}

it('many operations at once under one signal are no leak to Node, and leave it alone', async () => {
  await using owned = await startOwned('anna');
  await using store = await openStore({ root: join(scratch, 'store') });
  const credentials = { username: 'anna', password: 'secret of anna' };
  await using registry = openRegistry({ credentials: () => Promise.resolve(credentials) });
  const { signal } = new AbortController();
  const warnings: string[] = [];
  const note = ({ message }: Error): unknown => warnings.push(message);
  process.on('warning', note);
  try {
    const copies = Array.from({ length: 15 }, (_, at) =>
      copy({ store, registry, source: `docker://${owned.reference}`, destination: `copy:${at}`, signal }),
    );
    await Promise.all(copies);
    // Warnings are told at the next turn.
    await setImmediate();
  } finally {
    process.off('warning', note);
  }
  expect(warnings).toEqual([]);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

describe('several stores in one process', () => {
  it('have registries, credentials and images of their own, all at the same time', async () => {
    const users = ['anna', 'boris', 'clara'];
    const listeners = process.eventNames().map((name) => [name, process.listenerCount(name)]);
    await Promise.all(
      users.map(async (user) => {
        await using owned = await startOwned(user);
        await using store = await openStore({ root: join(scratch, user), workers: 1 });
        const credentials = { username: user, password: `secret of ${user}` };
        await using registry = openRegistry({ credentials: () => Promise.resolve(credentials) });
        const { reference, layers } = await pull({ store, registry, reference: owned.reference });
        expect(layers.map(({ reused }) => reused)).toEqual([false, false]);
        expect((await listImages(store)).map(({ name }) => name)).toEqual([reference]);
        expect([...owned.askedBy]).toEqual([user]);
      }),
    );
    expect(process.eventNames().map((name) => [name, process.listenerCount(name)])).toEqual(listeners);
  });

  it("are not let in with one another's credentials", async () => {
    await using owned = await startOwned('anna');
    await using store = await openStore({ root: join(scratch, 'store') });
    const credentials = { username: 'boris', password: 'secret of boris' };
    await using registry = openRegistry({ credentials: () => Promise.resolve(credentials) });
    await expect(pull({ store, registry, reference: owned.reference })).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
    });
  });
});

describe('openRegistry', () => {
  it("shows the logins that docker has kept, of the environment's home", async () => {
    await using owned = await startOwned('anna');
    await mkdir(join(scratch, '.docker'));
    const auth = Buffer.from('anna:secret of anna').toString('base64');
    const [host = ''] = owned.reference.split('/');
    await writeFile(join(scratch, '.docker/config.json'), JSON.stringify({ auths: { [host]: { auth } } }));
    await using store = await openStore({ root: join(scratch, 'store') });
    await using registry = openRegistry({ env: { HOME: scratch } });
    await pull({ store, registry, reference: owned.reference });
    expect([...owned.askedBy]).toEqual(['anna']);
  });
});

describe('a store', () => {
  it('may be closed twice', async () => {
    const store = await openStore({ root: join(scratch, 'store') });
    await store.close();
    await store.close();
  });

  it('is opened by a relative path', async () => {
    const here = process.cwd();
    const root = join(scratch, 'store');
    await using store = await openStore({
      root: `${'../'.repeat(here.split('/').length - 1)}${root.slice(1)}`,
    });
    expect(store.root).toBe(root);
  });
});

describe('pull', () => {
  /** What a registry that anybody may read gives. */
  async function pulled(run: (store: Store, reference: string) => Promise<void>): Promise<void> {
    await using source = await openStore({ root: join(scratch, 'source') });
    await putImage(source, 'docker.io/team/app:1', { layers: ['one', 'two'] });
    await using served = await serveStore({ store: source });
    await using store = await openStore({ root: join(scratch, 'store') });
    await run(store, `${served.host}/docker.io/team/app:1`);
  }

  it('needs no client of the caller, and closes its own', async () => {
    await pulled(async (store, reference) => {
      const { layers, chainId } = await pull({ store, reference });
      expect(chainId).toBe(layers[1]?.chainId);
    });
    expect(process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap')).toEqual([]);
  });

  it('tells as events what it tells a callback, and gives its result with the last', async () => {
    await pulled(async (store, reference) => {
      const events: PullProgress[] = [];
      let result: PullResult | undefined;
      for await (const event of pullEvents({ store, reference })) {
        events.push(event);
        if (event.type === 'done') result = event.result;
      }
      expect(events.at(0)).toMatchObject({ type: 'resolving', reference });
      expect(events.at(-1)).toMatchObject({
        type: 'done',
        digest: result?.digest,
        bytesDownloaded: result?.bytesDownloaded,
      });
      expect(result?.layers.map(({ reused }) => reused)).toEqual([false, false]);
      for (const state of ['unpacked', 'committed']) {
        expect(events.filter((event) => event.type === 'layer' && event.state === state)).toHaveLength(2);
      }
      const times = events.map(({ at }) => at);
      expect(times).toEqual([...times].sort((a, b) => a - b));
    });
  });

  it('throws out of a loop what it would reject with', async () => {
    await pulled(async (store, reference) => {
      const loop = async (): Promise<void> => {
        for await (const event of pullEvents({ store, reference: `${reference}2` }))
          expect(event.at).toBeGreaterThanOrEqual(0);
      };
      await expect(loop()).rejects.toMatchObject({ name: 'RegistryError', code: 'NOT_FOUND' });
    });
  });
});
