import { MemoryContentStore } from '../../src/content/index.js';
import { contentStoreSuite } from '../suites/content-store.js';
import { scratchRoot } from './scratch-root.js';

contentStoreSuite('on disk', async () => {
  const scratch = await scratchRoot();
  return { store: scratch.store, close: async () => scratch[Symbol.asyncDispose]() };
});

contentStoreSuite('in memory', () =>
  Promise.resolve({ store: new MemoryContentStore(), close: () => Promise.resolve() }),
);
