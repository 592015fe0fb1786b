import { randomUUID } from 'node:crypto';
import type { BlobProvider } from '../../content/index.js';
import { readVerified } from '../../engine/images/read-manifest.js';
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
import { REF_LABEL } from '../snapshots/remote-image.js';
import { EXPIRE, hasLabels, type OwnOffers } from './labels.js';
import type { WantedBlob, WantedRecord, WantedTarget } from './wanted.js';

export interface RegistrarOptions {
  readonly connection: ContainerdConnection;
  /** Of the store. */
  readonly content: BlobProvider;
  /** The name of landfall's snapshotter in containerd's configuration. */
  readonly snapshotter: string;
  /** Learns of each layer that is offered. */
  readonly offers: OwnOffers;
}

/** Bytes of one message, well below the most that containerd takes. */
const MESSAGE_BYTES = 1024 * 1024;
/** The life of a lease whose holder died, in milliseconds. */
const LEASE_MS = 60 * 60_000;

/**
 * Makes images of a store known to a containerd, without the blobs of their layers, which containerd never
 * needs. Errors of all methods: those of a call.
 */
export class Registrar {
  readonly #options: RegistrarOptions;

  constructor(options: RegistrarOptions) {
    this.#options = options;
  }

  /** Whether all that containerd's names for an image lead to is there. */
  async isWhole({ blobs, chain }: WantedTarget, o: Abortable): Promise<boolean> {
    for (const blob of blobs) if (!(await this.#hasBlob(blob, o))) return false;
    const top = chain.at(-1);
    return top === undefined || (await this.#hasSnapshot(top, o));
  }

  /**
   * Registers content first, then layers, then names, so that a name never leads to something incomplete.
   * Content and layers that are there already stay.
   *
   * @param known the records that containerd has under these names
   * @throws LandfallError SNAPSHOT_NOT_FOUND (containerd's snapshotter is another one), IN_USE (a container
   *   lies on a layer that is gone); those of reading a blob
   */
  async register(
    target: WantedTarget,
    records: readonly WantedRecord[],
    known: ImageRecords,
    o: Abortable,
  ): Promise<void> {
    const { connection } = this.#options;
    // The lease keeps what is made until something refers to it. A lease that stays ends by itself.
    const lease = `landfall-${randomUUID()}`;
    const labels = { [EXPIRE]: new Date(Date.now() + LEASE_MS).toISOString() };
    await connection.call('leases/Create', { id: lease, labels }, o);
    try {
      const leased = { ...o, lease };
      for (const blob of target.blobs) await this.#writeBlob(blob, leased);
      await this.#registerChain(target.chain, leased);
      // The ID stands last and goes first: a client that finds a name asks for the ID next.
      for (const record of records.toReversed())
        await putRecord(connection, record, known.get(record.name), leased);
    } finally {
      await connection.call('leases/Delete', { id: lease }).catch(() => undefined);
    }
  }

  /** Whether containerd has a snapshot, and landfall has what it stands for. */
  async #hasSnapshot(key: Digest, o: ContainerdCallOptions): Promise<boolean> {
    const { connection, snapshotter } = this.#options;
    const found = await connection.call('snapshots/Stat', { snapshotter, key }, o).catch(unlessMissing);
    return found !== undefined;
  }

  /**
   * Registers the layers that landfall has unpacked, each by its chain ID: containerd asks landfall's
   * snapshotter for a snapshot to fill, and the answer is that it is there already.
   *
   * @param chain bottom first
   */
  async #registerChain(chain: readonly Digest[], o: ContainerdCallOptions): Promise<void> {
    await this.#forgetGone(chain, o);
    let parent = '';
    for (const chainId of chain) {
      await this.#offer(chainId, parent, o);
      parent = chainId;
    }
  }

  /**
   * Removes names of chains that landfall does not have any more, such as those of a store that was emptied.
   */
  async #forgetGone(chain: readonly Digest[], o: ContainerdCallOptions): Promise<void> {
    const { connection, snapshotter } = this.#options;
    for (const key of chain.toReversed()) {
      // A snapshot that is there has all its parents.
      if (await this.#hasSnapshot(key, o)) return;
      await connection.call('snapshots/Remove', { snapshotter, key }, o).catch(unlessMissing);
    }
  }

  async #offer(chainId: Digest, parent: string, o: ContainerdCallOptions): Promise<void> {
    const { connection, snapshotter, offers } = this.#options;
    const key = `landfall-${randomUUID()} ${chainId}`;
    const labels = { [REF_LABEL]: chainId };
    try {
      await offers.during(key, () =>
        connection.call('snapshots/Prepare', { snapshotter, key, parent, labels }, o),
      );
    } catch (error) {
      if (isAlreadyThere(error)) return;
      throw error;
    }
    // The snapshotter gave an empty one to fill.
    await connection.call('snapshots/Remove', { snapshotter, key }).catch(() => undefined);
    throw new LandfallError(
      'SNAPSHOT_NOT_FOUND',
      `containerd's snapshotter ${snapshotter} does not have ${chainId}`,
      { hint: 'Check that it is the one that this daemon serves.' },
    );
  }

  /** Whether containerd has a blob with its labels. */
  async #hasBlob({ descriptor, labels }: WantedBlob, o: ContainerdCallOptions): Promise<boolean> {
    const { digest } = descriptor;
    const found = await this.#options.connection.call('content/Info', { digest }, o).catch(unlessMissing);
    const info = found?.info ?? undefined;
    return info !== undefined && hasLabels(info.labels, labels);
  }

  /** Writes a small blob to containerd's content store, or gives its labels to one that is there. */
  async #writeBlob(blob: WantedBlob, o: ContainerdCallOptions): Promise<void> {
    const { connection, content } = this.#options;
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
}

function* messagesOf({ descriptor, labels }: WantedBlob, bytes: Buffer): Iterable<WriteContentRequest> {
  const { size, digest: expected } = descriptor;
  const common = { ref: `landfall-${randomUUID()}`, total: `${size}`, expected };
  for (let offset = 0; offset < bytes.length; offset += MESSAGE_BYTES) {
    const data = bytes.subarray(offset, offset + MESSAGE_BYTES);
    const isLast = offset + MESSAGE_BYTES >= bytes.length;
    const end = isLast ? ({ action: 'COMMIT', labels } as const) : ({ action: 'WRITE', labels: {} } as const);
    yield { ...common, ...end, offset: `${offset}`, data };
  }
}
