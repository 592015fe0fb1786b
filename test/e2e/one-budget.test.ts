import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore } from '../../src/engine/store.js';
import { pull } from '../../src/engine/pull/pull.js';
import { PullBudget } from '../../src/engine/pull/pull-budget.js';
import { parsePlatform } from '../../src/spec/index.js';
import { imageSteps } from '../support/image-steps.js';
import { landfallJson } from '../support/landfall-command.js';
import { makeLayeredLayout } from '../support/layered-image.js';
import { fastClient } from '../support/registry-fixture.js';
import { type Reply, ScriptedRegistry, type SeenRequest } from '../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

const MEBIBYTE = 1024 * 1024;
const NAMES = ['cutter', 'ketch', 'sloop'];
const CONCURRENCY = 3;
/** Of each connection: slow enough that a large layer is worth several. */
const BYTES_PER_SECOND = 8 * MEBIBYTE;

interface Served extends AsyncDisposable {
  readonly registry: ScriptedRegistry;
  /** Layers that it was sending at once, at most. */
  readonly most: () => number;
  /** Requests for a part of a layer. */
  readonly parts: () => number;
}

describe('several images that share a budget', () => {
  let work: string;
  const layouts = new Map<string, TinyLayout>();
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-one-budget-'));
    for (const name of NAMES) {
      const layout = await makeLayeredLayout(join(work, name), {
        layers: 3,
        files: 1,
        fileBytes: 500_000,
        shared: name === 'ketch' ? [[{ path: 'cargo', content: randomBytes(24 * MEBIBYTE) }]] : [],
      });
      layouts.set(name, layout);
    }
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  /** A registry with all images. */
  async function serve(): Promise<Served> {
    const digests = new Set(
      [...layouts.values()].flatMap(({ manifests: [{ layers }] }) =>
        layers.map(({ digest }) => digest as string),
      ),
    );
    const isLayer = ({ line }: SeenRequest): boolean => digests.has(line.slice(line.lastIndexOf('/') + 1));
    let most = 0;
    const first = (request: SeenRequest): Reply | undefined => {
      if (!isLayer(request)) return undefined;
      // A connection that was closed for this one is known to be closed only then.
      const counted = sleep(30).then(() => {
        most = Math.max(most, [...registry.underWay].filter(isLayer).length);
      });
      const body = [...layouts.values()]
        .flatMap(({ blobs }) => [...blobs])
        .find(([digest]) => request.line.endsWith(digest))?.[1];
      return { body: body ?? '', ranges: true, bytesPerSecond: BYTES_PER_SECOND, after: counted };
    };
    const steps = [...layouts].flatMap(([name, layout]) =>
      imageSteps(layout, { repository: `fleet/${name}`, tag: '1', first }),
    );
    const registry: ScriptedRegistry = await ScriptedRegistry.start(steps);
    const parts = (): number => registry.requests.filter(({ headers }) => headers.range !== undefined).length;
    return {
      registry,
      most: () => most,
      parts,
      [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
    };
  }

  it('of one command bring no more layers at once than it says', async () => {
    await using served = await serve();
    const { registry, most, parts } = served;
    const references = NAMES.map((name) => `${registry.address}/fleet/${name}:1`);
    const root = await mkdtemp(join(work, 'root-'));
    await landfallJson([
      '--root',
      root,
      '--concurrency',
      String(CONCURRENCY),
      'pull',
      ...references,
      '--platform',
      'linux/amd64',
    ]);
    expect(most()).toBe(CONCURRENCY);
    expect(parts()).toBeGreaterThan(0);
  });

  it('of several pulls of the library bring no more layers at once than it says', async () => {
    await using served = await serve();
    const { registry, most, parts } = served;
    await using client = fastClient();
    await using store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    const budget = new PullBudget({ concurrency: CONCURRENCY });
    const platform = parsePlatform('linux/amd64');
    await Promise.all(
      NAMES.map((name) =>
        pull({ store, registry: client, reference: `${registry.address}/fleet/${name}:1`, platform, budget }),
      ),
    );
    expect(most()).toBe(CONCURRENCY);
    expect(parts()).toBeGreaterThan(0);
  });
});

describe('the layers of an image', () => {
  it('are begun largest first, and small ones in their order', async () => {
    const work = await mkdtemp(join(tmpdir(), 'landfall-largest-first-'));
    const layout = await makeTinyLayout(join(work, 'layout'), {
      layers: [20, 6000, 500, 3, 9000].map((kilobytes) => [
        { path: `of-${kilobytes}`, content: randomBytes(kilobytes * 1000) },
      ]),
    });
    await using registry = await ScriptedRegistry.start(
      imageSteps(layout, { repository: 'fleet/brig', tag: '1' }),
    );
    const args = [
      '--concurrency',
      '1',
      'pull',
      `${registry.address}/fleet/brig:1`,
      '--platform',
      'linux/amd64',
    ];
    await landfallJson(['--root', join(work, 'root'), ...args]);
    const { layers } = layout.manifests[0];
    const begun = registry.requests.flatMap(({ line }) => {
      const layer = layers.findIndex(({ digest }) => line.endsWith(digest));
      return layer < 0 ? [] : [layer];
    });
    expect(begun).toEqual([4, 1, 0, 2, 3]);
    await rm(work, { recursive: true });
  });
});
