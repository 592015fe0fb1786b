import { randomUUID } from 'node:crypto';
import { LandfallError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import type { ContainerdCallOptions, ContainerdConnection } from './connection.js';
import { isAlreadyThere, unlessMissing } from './containerd-error.js';
import { SNAPSHOT_REF } from './labels.js';
import type { OwnOffers } from './own-offers.js';

/** A snapshotter as containerd's configuration calls it. */
export interface NamedSnapshotter {
  readonly connection: ContainerdConnection;
  readonly snapshotter: string;
}

/** One that this daemon serves. */
export interface OwnSnapshotter extends NamedSnapshotter {
  readonly offers: OwnOffers;
}

/** Whether containerd has a snapshot, and landfall has what it stands for. */
export async function hasSnapshot(
  { connection, snapshotter }: NamedSnapshotter,
  chainId: Digest,
  o: ContainerdCallOptions,
): Promise<boolean> {
  const found = await connection
    .call('snapshots/Stat', { snapshotter, key: chainId }, o)
    .catch((error: unknown) => unlessMissing(error));
  return found !== undefined;
}

/**
 * Lets containerd know the layers of an image that landfall has unpacked, each by its chain ID: it asks landfall's snapshotter for
 * each, as for one to be filled, and is answered that it is there already. Under the lease.
 *
 * @param chain bottom first
 * @throws LandfallError SNAPSHOT_NOT_FOUND (landfall does not have it after all), IN_USE (a container lies on a layer that is
 *   gone); those of a call
 */
export async function registerChain(
  named: OwnSnapshotter,
  chain: readonly Digest[],
  o: ContainerdCallOptions,
): Promise<void> {
  await forgetGone(named, chain, o);
  let parent = '';
  for (const chainId of chain) {
    await offer(named, chainId, parent, o);
    parent = chainId;
  }
}

/** Has containerd forget what it still calls a chain, and landfall does not have any more: a store that was emptied, say. */
async function forgetGone(
  named: NamedSnapshotter,
  chain: readonly Digest[],
  o: ContainerdCallOptions,
): Promise<void> {
  const { connection, snapshotter } = named;
  for (const chainId of chain.toReversed()) {
    // What is there is there with all that it lies on.
    if (await hasSnapshot(named, chainId, o)) return;
    await connection
      .call('snapshots/Remove', { snapshotter, key: chainId }, o)
      .catch((error: unknown) => unlessMissing(error));
  }
}

async function offer(
  { connection, snapshotter, offers }: OwnSnapshotter,
  chainId: Digest,
  parent: string,
  o: ContainerdCallOptions,
): Promise<void> {
  const key = `landfall-${randomUUID()} ${chainId}`;
  const labels = { [SNAPSHOT_REF]: chainId };
  try {
    await offers.during(key, () =>
      connection.call('snapshots/Prepare', { snapshotter, key, parent, labels }, o),
    );
  } catch (error) {
    if (isAlreadyThere(error)) return;
    throw error;
  }
  // It was given an empty one to fill.
  await connection.call('snapshots/Remove', { snapshotter, key }).catch(() => undefined);
  throw new LandfallError(
    'SNAPSHOT_NOT_FOUND',
    `containerd's snapshotter ${snapshotter} does not have ${chainId}`,
    {
      hint: 'Check that it is the one that this daemon serves.',
    },
  );
}
