import type { BlobProvider } from '../../content/index.js';
import type { Abortable } from '../../errors.js';
import type { ContainerdConnection } from './connection.js';
import { type ImageRecords, putRecord } from './image-records.js';
import { underLease } from './lease.js';
import type { OwnOffers } from './own-offers.js';
import { hasSnapshot, registerChain } from './register-chain.js';
import type { WantedRecord, WantedTarget } from './wanted.js';
import { hasBlob, writeBlob } from './write-blob.js';

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
