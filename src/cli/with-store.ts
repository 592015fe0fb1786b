import { openStore, type Store } from '../engine/store.js';
import type { CommandContext } from './command-context.js';

/** Opens the store of this run for as long as a function needs it. */
export async function withStore<T>(context: CommandContext, use: (store: Store) => Promise<T>): Promise<T> {
  await using store = await openStore({ root: context.settings.root });
  return await use(store);
}
