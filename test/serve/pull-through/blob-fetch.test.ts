import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { ContentStore } from '../../../src/content/index.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { PullBudget } from '../../../src/engine/pull/pull-budget.js';
import type { Fetcher } from '../../../src/registry/index.js';
import { BlobFetch } from '../../../src/serve/pull-through/blob-fetch.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';

/** So small that nothing of it is given to anybody before all of it was found right. */
const content = randomBytes(50_000);
const descriptor: Descriptor = {
  mediaType: MEDIA_TYPES.ociLayerGzip,
  digest: digestOf(content),
  size: content.length,
};
/** As many microtasks as there may be between two steps of a flow, and some more. */
const MICROTASKS = 8;

describe('a blob on its way for all who want it', () => {
  let work: string;
  let store: Store;
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-flow-'));
    store = await openStore({ root: join(work, 'store'), sync: 'none', workers: 1 });
  });
  afterEach(async () => {
    await store.close();
    await rm(work, { recursive: true });
  });

  /**
   * A flow whose host answers with each of some contents in turn, the wrong one it has once.
   *
   * @param onVerdict given the promise of each commit before the flow waits for it
   */
  function flowOf(answers: readonly Buffer[], onVerdict: (verdict: Promise<unknown>) => void): BlobFetch {
    const left = [...answers];
    const fetcher: Pick<Fetcher, 'fetchPart' | 'distrust'> = {
      fetchPart: () => {
        const batches = [left.shift() ?? content];
        const next = (): Promise<readonly Uint8Array[] | undefined> => {
          const batch = batches.shift();
          return Promise.resolve(batch && [batch]);
        };
        return Promise.resolve({ length: content.length, body: { next, destroy: () => undefined } });
      },
      distrust: () => Promise.resolve(true),
    };
    const observed: Pick<ContentStore, 'ingest' | 'open'> = {
      open: (...asked) => store.content.open(...asked),
      ingest: async (...asked) => {
        const writer = await store.content.ingest(...asked);
        if (writer === undefined) return undefined;
        const commit = writer.commit.bind(writer);
        writer.commit = () => {
          const committed = commit();
          onVerdict(committed);
          return committed;
        };
        return writer;
      },
    };
    return new BlobFetch({
      content: observed as ContentStore,
      leases: store.leases,
      fetcher: fetcher as Fetcher,
      descriptor,
      source: 'registry.example/team/app',
      budget: new PullBudget().share(),
    });
  }

  it.each([
    ['at which it is whole', [content]],
    ['at which it broke off, with what the next try brings', [Buffer.alloc(content.length), content]],
  ])('is read whole by readers that come at the moment %s', async (_, answers) => {
    const readers: Promise<Readable>[] = [];
    const blobFetch: BlobFetch = flowOf(answers, (verdict) => {
      const open = (): void => void readers.push(blobFetch.open());
      // Each one microtask after the last: before, between, and after the flow's own steps.
      let at = verdict.then(open, open);
      for (let later = 1; later < MICROTASKS; later += 1) at = at.then(open);
    });
    await blobFetch.done;
    const read = await Promise.all(readers.map(async (reader) => await buffer(await reader)));
    expect(read).toHaveLength(answers.length * MICROTASKS);
    expect(read.every((bytes) => bytes.equals(content))).toBe(true);
  });
});
