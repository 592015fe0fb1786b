import { closeSync, mkdirSync, openSync } from 'node:fs';
import { IN_DOUBT, integerOf, type MetadataDatabase } from '../../metadata/index.js';
import { O_DIRECTORY, O_RDONLY, syncfsInBackground } from '../../system/index.js';
import { SnapshotDirectories } from './snapshot-directories.js';

export interface WritebackOptions {
  /** Of whose file system all is written; made where it is missing. */
  readonly directory: string;
  /** How a file system is synced, for tests. */
  readonly syncfs?: ((fd: number) => Promise<void>) | undefined;
}

/**
 * The pause between two rounds, in ms. By itself the kernel begins with what is half a minute old, when a pull is over. With
 * this pause two layers of 330 MB on an ext4 that is as fast as memory left 0.05 s to be synced at the end, and without any
 * writeback 0.58 s; the processor time is the same.
 */
const PAUSE_MS = 300;

/**
 * Writes what layers leave in the page cache to the disk while they still are unpacked, so that the sync before their commit
 * finds little to do. It runs while there are {@link begin layers in the making}, on a thread of libuv's pool, a round after
 * another; whoever wants to be sure joins the next one. Like that sync it cannot tell these files from all others of the
 * file system: thousands of small ones are not worth a call each.
 */
export class Writeback {
  readonly #directory: string;
  readonly #syncfs: (fd: number) => Promise<void>;
  #layers = 0;
  /**
   * Open from the first layer to the last, so that it is told of each write that failed in between, whoever has heard of it
   * before (syncfs(2), since Linux 5.8).
   */
  #fd: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last: Promise<void> = Promise.resolve();
  /** Waits for the last one to end. */
  #next: Promise<void> | undefined;
  /** What a round was told, and so no later one: all layers in the making may lack something. */
  #failure: { readonly error: unknown } | undefined;

  constructor({ directory, syncfs = syncfsInBackground }: WritebackOptions) {
    this.#directory = directory;
    this.#syncfs = syncfs;
  }

  /** A layer is about to be written. {@link end} belongs to each call. */
  begin(): void {
    if (this.#fd === undefined) {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      this.#fd = openSync(this.#directory, O_RDONLY | O_DIRECTORY);
      this.#schedule();
    }
    // What could not be opened is not begun, and has no end.
    this.#layers += 1;
  }

  /** A layer is committed, or given up. */
  end(): void {
    this.#layers -= 1;
    if (this.#layers > 0) return;
    clearTimeout(this.#timer);
    const fd = this.#fd;
    this.#fd = undefined;
    this.#failure = undefined;
    if (fd === undefined) return;
    // Not while a call has it.
    void Promise.allSettled([this.#last, this.#next]).then(() => closeSync(fd));
  }

  /**
   * Makes all durable that was written before the call.
   *
   * @throws SystemError, also of what a round before could not write that ran since the first of the layers began
   */
  async sync(): Promise<void> {
    this.begin();
    try {
      await this.#round();
      if (this.#failure !== undefined) throw this.#failure.error;
    } finally {
      this.end();
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.#round().then(() => {
        if (this.#layers > 0) this.#schedule();
      });
    }, PAUSE_MS);
    this.#timer.unref();
  }

  /** One that begins after the call: what runs already may have passed by what was written last. */
  #round(): Promise<void> {
    this.#next ??= this.#last.then(async () => {
      if (this.#next !== undefined) this.#last = this.#next;
      this.#next = undefined;
      const fd = this.#fd;
      if (fd === undefined) return;
      try {
        await this.#syncfs(fd);
      } catch (error) {
        this.#failure ??= { error };
      }
    });
    return this.#next;
  }
}

/**
 * Puts the directories of snapshots away that are in doubt (src/metadata/unsynced.ts): each then counts as lost, is unpacked
 * anew in its place by the next pull, and what was put away goes with the next collection. Their rows stay as they are; the
 * caller has the store's root locked.
 *
 * @param boot this one
 * @returns how many there are
 */
export async function putAwayDoubtfulSnapshots(
  root: string,
  database: MetadataDatabase,
  boot: string,
): Promise<number> {
  const directories = new SnapshotDirectories(root);
  const rows = await database.all(`SELECT id FROM snapshots WHERE ${IN_DOUBT}`, [boot]);
  for (const row of rows) directories.discard(integerOf(row, 'id'));
  return rows.length;
}
