import { availableParallelism } from 'node:os';

import { openStore, type Store, type SyncMode } from '../../engine/store.js';
import type { CommandContext } from '../output/command-context.js';
import { countOf } from '../format/size.js';

/** Opens the store of this run for as long as a function needs it. */
export async function withStore<T>(
  context: CommandContext,
  use: (store: Store) => Promise<T>,
  o: { readonly sync?: SyncMode | undefined } = {},
): Promise<T> {
  const { root, additionalRoots, snapshots, limits, inflate, concurrency } = context.settings;
  await using store = await openStore({
    root,
    additionalRoots,
    limits,
    inflate,
    ...(concurrency === undefined ? {} : { workers: Math.min(availableParallelism(), concurrency) }),
    ...(snapshots === undefined ? {} : { snapshotter: snapshots }),
    ...(o.sync === undefined ? {} : { sync: o.sync }),
    onLost: ({ blobs, snapshots: layers }) => {
      context.log.warn(
        `${countOf(blobs, 'blob')} and ${countOf(layers, 'unpacked layer')} had not been synced when the machine stopped, and count as lost; pull their images again`,
      );
    },
  });
  return await use(store);
}
