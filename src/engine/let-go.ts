import { heldChains, onReserve } from '../content/index.js';
import type { Store } from './store.js';

/**
 * Lets go of a snapshot that another program holds, and removes what nobody needs any more: at once, so that its space is free when
 * this resolves. A chain that an image or a lease of the store needs stays.
 *
 * @returns bytes that were freed of layers; what only that program used is not counted
 * Errors: SNAPSHOT_NOT_FOUND, IN_USE (that program holds others on top of it).
 */
export async function letGoOfSnapshot(store: Store, name: string, heldBy: string): Promise<number> {
  const { snapshotter, database, root } = store;
  const chains = await snapshotter.letGo(name, heldBy);
  if (chains.length === 0) return 0;
  const swept = await onReserve(root, () =>
    database.transaction(async (transaction) => {
      const retained = await heldChains(transaction, chains);
      return await snapshotter.sweep(transaction, { retained, among: chains });
    }),
  );
  return await snapshotter.removeSwept(swept);
}
