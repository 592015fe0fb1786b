import { randomUUID } from 'node:crypto';
import type { BlobProvider } from '../../content/index.js';
import { readVerified } from '../../engine/images/read-document.js';
import { type Abortable, LandfallError } from '../../errors.js';
import { type Digest, LIMITS } from '../../spec/index.js';
import {
  type ContainerdCallOptions,
  type ContainerdConnection,
  isAlreadyThere,
  unlessMissing,
  type WriteContentRequest,
} from './connection.js';
import { type ImageRecords, putRecord } from './image-records.js';
import { EXPIRE, hasLabels, type OwnOffers, SNAPSHOT_REF } from './labels.js';
import type { WantedBlob, WantedRecord, WantedTarget } from './wanted.js';

export interface RegistrarOptions {
  readonly connection: ContainerdConnection;
  /** Of the store. */
  readonly content: BlobProvider;
  /** landfall's snapshotter, as containerd calls it. */
  readonly snapshotter: string;
  /** Told of each layer that is offered. */
  readonly offers: OwnOffers;
}

/** Lets a containerd know images of a store, without their layers' blobs, which it never needs. */
export class Registrar {
  readonly #options: RegistrarOptions;

  constructor(options: RegistrarOptions) {
    this.#options = options;
  }

  /** Whether all that containerd's names for an image lead to is there. Errors: those of a call. */
  async isWhole({ blobs, chain }: WantedTarget, o: Abortable): Promise<boolean> {
    const { connection } = this.#options;
    for (const blob of blobs) if (!(await hasBlob(connection, blob, o))) return false;
    const top = chain.at(-1);
    return top === undefined || (await hasSnapshot(this.#options, top, o));
  }

  /**
   * Content first, then layers, then names, so that whoever finds a name finds all of it. What is there already stays.
   *
   * @param known what containerd has under these names
   * @throws LandfallError those of a call, of reading a blob, and of registering layers
   */
  async register(
    target: WantedTarget,
    records: readonly WantedRecord[],
    known: ImageRecords,
    o: Abortable,
  ): Promise<void> {
    const { connection, content } = this.#options;
    await underLease(
      connection,
      async (lease) => {
        const leased = { ...o, lease };
        for (const blob of target.blobs) await writeBlob(connection, content, blob, leased);
        await registerChain(this.#options, target.chain, leased);
        // The ID, which stands last, goes first: whoever finds a name asks for it next.
        for (const record of records.toReversed())
          await putRecord(connection, record, known.get(record.name), leased);
      },
      o,
    );
  }
}

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
async function hasSnapshot(
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
async function registerChain(
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

/** Bytes of one message, well below the most that containerd takes. */
const MESSAGE_BYTES = 1024 * 1024;

/** Whether containerd has a blob with its labels. */
async function hasBlob(
  connection: ContainerdConnection,
  { descriptor, labels }: WantedBlob,
  o: ContainerdCallOptions,
): Promise<boolean> {
  const found = await connection
    .call('content/Info', { digest: descriptor.digest }, o)
    .catch((error: unknown) => unlessMissing(error));
  const info = found?.info ?? undefined;
  return info !== undefined && hasLabels(info.labels, labels);
}

/**
 * Writes a small blob of a store to containerd's content store, or gives one that is there its labels; under the lease either way.
 * Errors: those of a call, and of reading the blob.
 */
async function writeBlob(
  connection: ContainerdConnection,
  content: BlobProvider,
  blob: WantedBlob,
  o: ContainerdCallOptions,
): Promise<void> {
  const { descriptor, labels } = blob;
  const bytes = await readVerified(content, descriptor, LIMITS.configBytes);
  try {
    await connection.write(messagesOf(blob, bytes), o);
  } catch (error) {
    if (!isAlreadyThere(error)) throw error;
    const paths = Object.keys(labels).map((label) => `labels.${label}`);
    if (paths.length === 0) return;
    const info = { digest: descriptor.digest, labels };
    await connection.call('content/Update', { info, updateMask: { paths } }, o);
  }
}

function* messagesOf({ descriptor, labels }: WantedBlob, bytes: Buffer): Iterable<WriteContentRequest> {
  const ref = `landfall-${randomUUID()}`;
  const common = {
    ref,
    total: `${descriptor.size}`,
    expected: descriptor.digest,
  } satisfies Partial<WriteContentRequest>;
  for (let offset = 0; offset < bytes.length; offset += MESSAGE_BYTES) {
    const data = bytes.subarray(offset, offset + MESSAGE_BYTES);
    const isLast = offset + MESSAGE_BYTES >= bytes.length;
    yield {
      ...common,
      action: isLast ? 'COMMIT' : 'WRITE',
      offset: `${offset}`,
      data,
      labels: isLast ? labels : {},
    };
  }
}

/** When a lease ends whose holder died, in milliseconds. */
const LEASE_MS = 60 * 60_000;

/** Does something under a lease, which keeps what it makes until it is referred to. Errors: those of a call, and its own. */
async function underLease(
  connection: ContainerdConnection,
  body: (lease: string) => Promise<void>,
  o: Abortable = {},
): Promise<void> {
  const id = `landfall-${randomUUID()}`;
  const labels = { [EXPIRE]: new Date(Date.now() + LEASE_MS).toISOString() };
  await connection.call('leases/Create', { id, labels }, o);
  try {
    await body(id);
  } finally {
    // One that stays ends by itself.
    await connection.call('leases/Delete', { id }).catch(() => undefined);
  }
}
