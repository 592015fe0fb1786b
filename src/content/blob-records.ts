import type { MetadataDatabase } from '../metadata/index.js';
import { faultPoint } from '../system/index.js';
import { type RecordedBlob, recordBlob } from './blob-rows.js';
import type { BlobInfo } from './content-store.js';
import { fileError } from './file-error.js';
import { syncDirectory } from './layout-files.js';
import { blobDirectory } from './store-paths.js';

interface Waiting {
  readonly blob: RecordedBlob;
  readonly resolve: (info: BlobInfo) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Gives blobs their rows, in groups: while one is under way, all that is asked for waits for the next one. Many small blobs
 * that become whole together then share the sync of their directory and a transaction, and none waits for others to become
 * whole.
 */
export class BlobRecords {
  readonly #root: string;
  readonly #database: MetadataDatabase;
  readonly #waiting: Waiting[] = [];
  #running = false;

  constructor(root: string, database: MetadataDatabase) {
    this.#root = root;
    this.#database = database;
  }

  /**
   * Names a blob whose file is in place, once the file's name is durable too; the content has to be before. Of one that is
   * `unsynced` nothing is made durable. Resolves when the row is, as far as the database is.
   *
   * @throws ContentError FILESYSTEM, and those of the database: then it has no row, and neither have those of its group
   */
  record(blob: RecordedBlob): Promise<BlobInfo> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ blob, resolve, reject });
      if (!this.#running) void this.#recordAll();
    });
  }

  async #recordAll(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) await this.#recordGroup(this.#waiting.splice(0));
    this.#running = false;
  }

  async #recordGroup(group: readonly Waiting[]): Promise<void> {
    try {
      await this.#syncNames(group);
      faultPoint('blob-commit:directory-synced');
      const recorded = await this.#database.transaction(async (transaction) => {
        const infos: { readonly waiting: Waiting; readonly info: BlobInfo }[] = [];
        for (const waiting of group)
          infos.push({ waiting, info: await recordBlob(transaction, waiting.blob) });
        return infos;
      });
      for (const { waiting, info } of recorded) waiting.resolve(info);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  async #syncNames(group: readonly Waiting[]): Promise<void> {
    const synced = group.filter(({ blob }) => blob.unsynced === undefined);
    for (const directory of new Set(synced.map(({ blob }) => blobDirectory(this.#root, blob.digest)))) {
      await syncDirectory(directory).catch((error: unknown) => {
        throw fileError(error, 'commit a blob', directory);
      });
    }
  }
}
