import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AskedPull, type EndedPull, Pulls, type PullsOptions } from '../../../src/daemon/pulls/pulls.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { PullBudget } from '../../../src/engine/pull/pull-budget.js';
import type { RegistryClient } from '../../../src/registry/index.js';
import { deferred } from '../../../src/concurrency/index.js';
import { imageSteps } from '../../support/image-steps.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { ScriptedRegistry } from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

const CREDENTIALS = { username: 'pilot', password: secret('pulls-password', 'password of a pull') };

describe('the pulls of a daemon', () => {
  let work: string;
  let store: Store;
  let client: RegistryClient;
  let registry: ScriptedRegistry;
  let layout: TinyLayout;
  /** Layers come when it is resolved. */
  let admission = deferred<undefined>();
  const ended: EndedPull[] = [];

  beforeEach(async () => {
    admission = deferred();
    ended.length = 0;
    work = await mkdtemp(join(tmpdir(), 'landfall-pulls-'));
    layout = await makeTinyLayout(join(work, 'layout'));
    const layers = new Set<string>(layout.manifests[0].layers.map(({ digest }) => digest));
    registry = await ScriptedRegistry.start(
      ['1', '2'].flatMap((tag) =>
        imageSteps(layout, {
          repository: 'team/app',
          tag,
          first: ({ line }) => {
            const digest = line.slice(line.lastIndexOf('/') + 1);
            const body = [...layout.blobs].find(([blob]) => blob === digest)?.[1];
            return layers.has(digest) && body !== undefined
              ? { body, ranges: true, after: admission.promise }
              : undefined;
          },
        }),
      ),
    );
    client = fastClient({ plainHttp: true });
    store = await openStore({ root: join(work, 'store'), sync: 'none' });
  });
  afterEach(async () => {
    admission.resolve(undefined);
    await client.close();
    await store.close();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const begin = (options: Partial<PullsOptions> = {}): Pulls => {
    const pulls = new Pulls({
      store,
      registry: client,
      budget: new PullBudget(),
      progressTimeoutMs: 0,
      discardLayers: false,
      ...options,
    });
    pulls.on('ended', (one) => ended.push(one));
    return pulls;
  };
  const asked = (more: Partial<AskedPull> = {}): AskedPull => ({
    reference: `${registry.address}/team/app:1`,
    ...more,
  });
  const layerRequests = (): number =>
    registry.requests.filter(({ line }) =>
      layout.manifests[0].layers.some(({ digest }) => line.startsWith('GET') && line.endsWith(digest)),
    ).length;
  const moving = async (pulls: Pulls, count = 1): Promise<void> => {
    await expect.poll(() => pulls.list().filter(({ state }) => state === 'transferring').length).toBe(count);
  };

  it('are one where they are the same', async () => {
    const pulls = begin();
    const all = [1, 2, 3].map(() => pulls.pull(asked()));
    await moving(pulls);
    expect(pulls.list()).toHaveLength(1);
    expect(pulls.waitingFor(pulls.list()[0]?.id ?? '')).toBe(3);
    admission.resolve(undefined);
    const results = await Promise.all(all);
    expect(new Set(results.map(({ imageId }) => imageId))).toEqual(
      new Set([layout.manifests[0].config.digest]),
    );
    expect(ended).toHaveLength(1);
    expect(layerRequests()).toBe(layout.manifests[0].layers.length);
    expect(pulls.list()).toEqual([]);
  });

  it.each<[string, Partial<AskedPull>]>([
    ['another tag', { reference: 'other' }],
    ['other credentials', { credentials: CREDENTIALS }],
    ['another way', { unpack: false }],
  ])('are two with %s', async (_, other) => {
    const pulls = begin();
    const reference = other.reference === undefined ? {} : { reference: `${registry.address}/team/app:2` };
    const both = [pulls.pull(asked()), pulls.pull(asked({ ...other, ...reference }))];
    expect(pulls.list()).toHaveLength(2);
    admission.resolve(undefined);
    await Promise.all(both);
    expect(ended).toHaveLength(2);
  });

  it('go on for those who still want them', async () => {
    const pulls = begin();
    const leaves = new AbortController();
    const first = pulls.pull(asked({ signal: leaves.signal }));
    const second = pulls.pull(asked());
    await moving(pulls);
    leaves.abort();
    expect(await failure(first)).toMatchObject({ code: 'ABORTED' });
    admission.resolve(undefined);
    await expect(second).resolves.toMatchObject({ imageId: layout.manifests[0].config.digest });
  });

  it('end when nobody wants them, and whoever comes then gets one of his own', async () => {
    const pulls = begin();
    const leaves = new AbortController();
    const first = pulls.pull(asked({ signal: leaves.signal }));
    await moving(pulls);
    leaves.abort();
    expect(await failure(first)).toMatchObject({ code: 'ABORTED' });
    const second = pulls.pull(asked());
    admission.resolve(undefined);
    await expect(second).resolves.toMatchObject({ imageId: layout.manifests[0].config.digest });
    await expect.poll(() => ended.map(({ outcome }) => 'error' in outcome).toSorted()).toEqual([false, true]);
  });

  it('of nobody who has left already are not begun', async () => {
    const pulls = begin();
    expect(await failure(pulls.pull(asked({ signal: AbortSignal.abort() })))).toMatchObject({
      code: 'ABORTED',
    });
    expect(registry.requests).toEqual([]);
  });

  it('wait for their turn, and leave while they do', async () => {
    const pulls = begin({ maxParallel: 1 });
    const first = pulls.pull(asked());
    const leaves = new AbortController();
    const second = pulls.pull(asked({ reference: `${registry.address}/team/app:2`, signal: leaves.signal }));
    await moving(pulls);
    expect(pulls.list().map(({ state }) => state)).toEqual(['transferring', 'queued']);
    leaves.abort();
    expect(await failure(second)).toMatchObject({ code: 'ABORTED' });
    await expect.poll(() => pulls.list().length).toBe(1);
    admission.resolve(undefined);
    await first;
    await expect(pulls.pull(asked({ reference: `${registry.address}/team/app:2` }))).resolves.toBeDefined();
  });

  it('of one registry wait for one another, as many as are to', async () => {
    const pulls = begin({ maxParallelPerRegistry: 1 });
    const both = ['1', '2'].map((tag) =>
      pulls.pull(asked({ reference: `${registry.address}/team/app:${tag}` })),
    );
    await moving(pulls);
    expect(pulls.list().map(({ state }) => state)).toEqual(['transferring', 'queued']);
    admission.resolve(undefined);
    await Promise.all(both);
  });

  it('fail when nothing comes for too long', async () => {
    const pulls = begin({ progressTimeoutMs: 200 });
    const error = await failure(pulls.pull(asked()));
    expect(error).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('no progress') as string,
    });
    expect(ended[0]?.outcome).toMatchObject({ error: { code: 'UNAVAILABLE' } });
  });

  it('do not fail for as long as others have all of the budget', async () => {
    const budget = new PullBudget({ concurrency: 1 });
    const others = deferred<undefined>();
    const busy = budget.share().download({ bytes: 1 }, () => others.promise);
    admission.resolve(undefined);
    const pulls = begin({ progressTimeoutMs: 1_000, budget });
    const pull = pulls.pull(asked());
    await moving(pulls);
    await sleep(1_500);
    expect(layerRequests()).toBe(0);
    others.resolve(undefined);
    await busy;
    await expect(pull).resolves.toMatchObject({ imageId: layout.manifests[0].config.digest });
  });

  it('fail when nothing comes for too long, after others had all of the budget', async () => {
    const budget = new PullBudget({ concurrency: 1 });
    const others = deferred<undefined>();
    const busy = budget.share().download({ bytes: 1 }, () => others.promise);
    const pulls = begin({ progressTimeoutMs: 1_000, budget });
    const failed = failure(pulls.pull(asked()));
    await moving(pulls);
    others.resolve(undefined);
    await busy;
    expect(await failed).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('no progress') as string,
    });
    expect(layerRequests()).toBeGreaterThan(0);
  });

  it('are cancelled for all who wait', async () => {
    const pulls = begin();
    const both = [pulls.pull(asked()), pulls.pull(asked())];
    await moving(pulls);
    expect(pulls.cancel('none')).toBe(false);
    expect(pulls.cancel(pulls.list()[0]?.id ?? '')).toBe(true);
    for (const one of both) expect(await failure(one)).toMatchObject({ code: 'ABORTED' });
  });

  it('end in time when the daemon stops, and none is begun then', async () => {
    const pulls = begin();
    const first = pulls.pull(asked());
    const failed = failure(first);
    await moving(pulls);
    const stopping = pulls.stop(100);
    expect(await failure(pulls.pull(asked()))).toMatchObject({ code: 'UNAVAILABLE' });
    await stopping;
    expect(await failed).toMatchObject({ code: 'UNAVAILABLE', message: 'the daemon is stopping' });
    expect(pulls.list()).toEqual([]);
  });

  it('that end by themselves are waited for when the daemon stops', async () => {
    const pulls = begin();
    const first = pulls.pull(asked());
    await moving(pulls);
    const stopping = pulls.stop(60_000);
    await sleep(20);
    admission.resolve(undefined);
    await stopping;
    await expect(first).resolves.toMatchObject({ imageId: layout.manifests[0].config.digest });
  });

  it('tell how far they are', async () => {
    const pulls = begin();
    const pull = pulls.pull(asked());
    await moving(pulls);
    const { layers, totalBytes, presentBytes } = pulls.list()[0] ?? {};
    const sizes = layout.manifests[0].layers.map(({ size }) => size);
    await expect.poll(() => pulls.list()[0]?.layers.length).toBe(sizes.length);
    expect(layers?.every(({ state }) => state !== 'done') ?? true).toBe(true);
    expect(presentBytes).toBeLessThanOrEqual(totalBytes === 0 ? Number.POSITIVE_INFINITY : (totalBytes ?? 0));
    admission.resolve(undefined);
    const { bytesDownloaded } = await pull;
    const { progress } = ended[0] ?? {};
    expect(progress).toMatchObject({ state: 'done', downloadedBytes: bytesDownloaded });
    expect(progress?.presentBytes).toBe(progress?.totalBytes);
    expect(progress?.layers.map(({ size, presentBytes: here, state }) => [size, here, state])).toEqual(
      sizes.map((size) => [size, size, 'done']),
    );
  });
});
