import { openStore, type Store } from '../engine/store.js';
import type { CommandContext } from './command-context.js';

/** Opens the store of this run for as long as a function needs it. */
export async function withStore<T>(context: CommandContext, use: (store: Store) => Promise<T>): Promise<T> {
  const { root, additionalRoots, snapshots, limits } = context.settings;
  await using store = await openStore({
    root,
    additionalRoots,
    limits,
    ...(snapshots === undefined ? {} : { snapshotter: snapshots }),
  });
  return await use(store);
}
