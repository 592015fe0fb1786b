import { vi } from 'vitest';
import { untilAborted } from '../../src/concurrency/index.js';
import { type ContentStore, LeaseStore, MemoryContentStore } from '../../src/content/index.js';
import { sharedObjectSuite, type SharedObject } from '../suites/shared-object.js';
import { describing } from './blobs.js';
import { scratchRoot } from './scratch-root.js';

/** Blobs that come into a store: each is written when its turn has come and its work is done. */
function ingests(store: ContentStore): SharedObject {
  return {
    begin: async ({ key, signal, work }) => {
      const bytes = Buffer.from(key);
      await using writer = await store.ingest(describing(bytes), { signal });
      if (writer === undefined) return;
      await work(signal);
      if (writer.missing().length > 0) await writer.write(0, bytes);
      await writer.commit();
    },
  };
}

sharedObjectSuite('ingests in memory', () => ingests(new MemoryContentStore()), { atOnce: 8 });

sharedObjectSuite(
  'ingests on disk',
  async () => {
    const scratch = await scratchRoot();
    return { ...ingests(scratch.store), close: async () => scratch[Symbol.asyncDispose]() };
  },
  { atOnce: 8, io: true, runs: 25 },
);

sharedObjectSuite(
  'leases',
  async () => {
    const scratch = await scratchRoot();
    const leases = new LeaseStore(scratch.database);
    return {
      begin: async ({ key, signal, work }) => {
        await using lease = await leases.create();
        await work(signal);
        await lease.addBlob(describing(Buffer.from(key)).digest);
      },
      left: async () => ({
        leases: (await scratch.database.all('SELECT * FROM leases')).length,
        resources: (await scratch.database.all('SELECT * FROM lease_resources')).length,
      }),
      close: async () => scratch[Symbol.asyncDispose](),
    };
  },
  { atOnce: 8, io: true, runs: 25 },
);

sharedObjectSuite(
  'one lease that many add to',
  async () => {
    const scratch = await scratchRoot();
    const leases = new LeaseStore(scratch.database);
    const lease = await leases.create();
    const transaction = scratch.database.transaction.bind(scratch.database);
    return {
      begin: async ({ key, signal, work }) => {
        const { digest } = describing(Buffer.from(key));
        const writing = vi.spyOn(scratch.database, 'transaction');
        writing.mockImplementationOnce(async (...parameters) => {
          await work();
          return await transaction(...parameters);
        });
        const adding = lease.addBlob(digest);
        // An operation that joins the write of another begins none, and the next operation must not find this
        // one's.
        writing.mockRestore();
        await untilAborted(adding, signal);
        const { blobs } = await leases.resources();
        if (!blobs.has(digest)) throw new Error(`${key} was said to be protected, and is not`);
      },
      close: async () => {
        await lease[Symbol.asyncDispose]();
        await scratch[Symbol.asyncDispose]();
      },
    };
  },
  { atOnce: 8, io: true, runs: 25 },
);
