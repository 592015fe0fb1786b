import { heldChains, onReserve } from '../content/index.js';
import type { Store } from './store.js';

/**
 * Lets go of a snapshot that another program holds, and removes what nobody needs any more: at once, so that its space is free when
 * this resolves. A chain that an image or a lease of the store needs stays.
 * Errors: SNAPSHOT_NOT_FOUND, IN_USE (that program holds others on top of it).
 */
export async function letGoOfSnapshot(store: Store, name: string, heldBy: string): Promise<void> {
  const { snapshotter, database, root } = store;
  const chains = await snapshotter.letGo(name, heldBy);
  if (chains.length === 0) return;
  const swept = await onReserve(root, () =>
    database.transaction(async (transaction) => {
      const retained = await heldChains(transaction, chains);
      return await snapshotter.sweep(transaction, { retained, among: chains });
    }),
  );
  await snapshotter.removeSwept(swept);
}
