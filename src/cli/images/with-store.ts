import { availableParallelism } from 'node:os';
import { openStore, type Store, type SyncMode } from '../../engine/store.js';
import type { FoundPolicy, PolicyFile } from '../../trust/index.js';
import type { Origin } from '../config/settings.js';
import { countOf } from '../format/text.js';
import type { CommandContext } from '../output/command-context.js';

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

/**
 * The signature policy of this run: that of `--policy`, then of `LANDFALL_POLICY`, then the user's, then the
 * system's; undefined where there is none, and everything is accepted.
 */
export async function foundPolicy({
  settings,
  env,
}: Pick<CommandContext, 'settings' | 'env'>): Promise<FoundPolicy | undefined> {
  const { findPolicyFile } = await import('../../trust/index.js');
  const found = await findPolicyFile({ explicit: settings.policy, env });
  const chosen = settings.policy === undefined ? undefined : settings.origins.get('policy');
  return found === undefined || chosen === undefined ? found : { ...found, origin: chooserOf(chosen) };
}

/** Where the name of a policy comes from. */
function chooserOf(origin: Origin): FoundPolicy['origin'] {
  switch (origin.from) {
    case 'environment':
      return 'environment';
    case 'file':
      return origin.scope === 'named' ? 'option' : origin.scope;
    case 'option':
    case 'default':
      return 'option';
  }
}

/** The file of {@link foundPolicy}. */
export async function policyOf(context: CommandContext): Promise<PolicyFile | undefined> {
  return (await foundPolicy(context))?.file;
}

/**
 * The same for a command that serves until it is stopped: a policy that is put in place later governs from
 * then on.
 */
export async function lastingPolicyOf({ settings, env }: CommandContext): Promise<PolicyFile> {
  const { lastingPolicy } = await import('../../trust/index.js');
  return lastingPolicy({ explicit: settings.policy, env });
}

/**
 * Whether a daemon, which has a policy of its own, pulls under this one too, or under that of the machine's
 * administrator.
 */
export function mayBeDaemons(policy: FoundPolicy | undefined): boolean {
  return policy === undefined || policy.origin === 'system';
}
