import { randomUUID } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { type Abortable, ContentError, throwIfAborted } from '../../errors.js';
import type { Descriptor, Digest } from '../../spec/index.js';
import { type Deferred, deferred } from '../../concurrency/index.js';
import type { BlobInfo, ContentStore } from './content-store.js';
import { fileError, makeDirectory, unlessMissing, uploadPath, uploadsDirectory } from './layout-files.js';
import { IngestDirectory } from './ingest-directory.js';
import type { LocalContentStore } from './local-content-store.js';
import { readUploadInfo, type Running, type UploadInfo, UploadFile, uploadSize } from './upload-file.js';

export interface UploadsOptions {
  /** Where what is whole goes. */
  readonly local: LocalContentStore;
  /** All blobs that can be used: what is there need not be kept again. */
  readonly content: Pick<ContentStore, 'info'>;
}

export interface UploadStatus extends UploadInfo {
  /** Bytes that have come. */
  readonly size: number;
}

const ID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;
/** Digests under way that are remembered; the bytes of an older upload are read again at its end. */
const MOST_RUNNING = 1000;

/**
 * Blobs that come without saying first which they are (distribution-spec: Pushing blobs). An upload is a file
 * below the root that grows in order, until its digest is known and it becomes a blob by its name. It
 * survives the process, and expires when nothing was added to it for long.
 *
 * An upload has one writer at a time. Who opens it takes it over from an earlier writer of this process,
 * since a client that comes again has given up its other request, whatever the server still sees of that.
 */
export class Uploads {
  readonly #local: LocalContentStore;
  readonly #content: Pick<ContentStore, 'info'>;
  readonly #running = new Map<string, Running>();
  readonly #open = new Map<string, UploadWriter>();

  constructor({ local, content }: UploadsOptions) {
    this.#local = local;
    this.#content = content;
  }

  /** How many are being written at this moment. */
  get inFlight(): number {
    return this.#open.size;
  }

  /**
   * Begins an upload, and gives its id, a UUID.
   *
   * @throws ContentError NO_SPACE, FILESYSTEM
   */
  async begin(info: UploadInfo): Promise<string> {
    const id = randomUUID();
    await makeDirectory(uploadsDirectory(this.#local.root)).catch((error: unknown) => {
      throw fileError(error, 'begin an upload', uploadsDirectory(this.#local.root));
    });
    await UploadFile.create(uploadPath(this.#local.root, id), info);
    return id;
  }

  /** What has come of an upload; undefined where there is none of that id. */
  async status(id: string): Promise<UploadStatus | undefined> {
    if (!ID.test(id)) return undefined;
    const path = uploadPath(this.#local.root, id);
    const [info, size] = await Promise.all([readUploadInfo(path), uploadSize(path)]);
    return info === undefined || size === undefined ? undefined : { ...info, size };
  }

  /**
   * Opens an upload for writing; the caller disposes of the writer.
   *
   * @returns undefined where there is none of that id
   * @throws ContentError IN_USE (another process writes it), FILESYSTEM
   */
  async open(id: string): Promise<UploadWriter | undefined> {
    if (!ID.test(id)) return undefined;
    for (let other = this.#open.get(id); other !== undefined; other = this.#open.get(id)) {
      await other.giveWay();
    }
    // Before anything is waited for, so that no other request of this process comes in between.
    const ended = deferred<undefined>();
    const writer = new UploadWriter({ local: this.#local, content: this.#content, ended });
    this.#open.set(id, writer);
    let file: UploadFile | undefined;
    try {
      file = await UploadFile.open(uploadPath(this.#local.root, id), this.#running.get(id));
      return file === undefined ? undefined : writer.take(file, (running) => this.#remember(id, running));
    } finally {
      if (file === undefined) {
        this.#open.delete(id);
        ended.resolve(undefined);
      } else {
        void ended.promise.then(() => this.#open.get(id) === writer && this.#open.delete(id));
      }
    }
  }

  #remember(id: string, running: Running | undefined): void {
    this.#running.delete(id);
    if (running !== undefined) this.#running.set(id, running);
    const oldest = this.#running.size > MOST_RUNNING ? this.#running.keys().next().value : undefined;
    if (oldest !== undefined) this.#running.delete(oldest);
  }
}

interface WriterOptions extends UploadsOptions {
  /** Resolved when the writer has let go of the upload. */
  readonly ended: Deferred<undefined>;
}

/** Writes to one upload. Closing it without a commit keeps what has come. */
export class UploadWriter implements AsyncDisposable {
  readonly #options: WriterOptions;
  readonly #superseded = new AbortController();
  #file: UploadFile | undefined;
  #onEnd: (running: Running | undefined) => void = () => undefined;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  take(file: UploadFile, onEnd: (running: Running | undefined) => void): this {
    this.#file = file;
    this.#onEnd = onEnd;
    return this;
  }

  /**
   * Aborted when somebody else wants to go on with the upload: what this writer is given from then on is
   * refused.
   */
  get superseded(): AbortSignal {
    return this.#superseded.signal;
  }

  get info(): UploadInfo {
    return this.#mine.info;
  }

  /** Bytes that have come. */
  get size(): number {
    return this.#mine.size;
  }

  /** @throws ContentError NO_SPACE, FILESYSTEM; LandfallError ABORTED */
  async append(...chunks: readonly Uint8Array[]): Promise<void> {
    throwIfAborted(this.#superseded.signal);
    await this.#mine.append(chunks);
  }

  /**
   * Makes a blob of what has come, and ends the upload. What is not what the digest says is thrown away.
   *
   * @throws ContentError DIGEST_MISMATCH, NO_SPACE, FILESYSTEM; LandfallError ABORTED
   */
  async commit(digest: Digest, o: Abortable & { readonly source?: string } = {}): Promise<BlobInfo> {
    const file = this.#mine;
    const actual = await file.digest(digest, o);
    if (actual !== digest) {
      await this.discard();
      throw new ContentError('DIGEST_MISMATCH', `the upload has the digest ${actual}, not ${digest}`, {
        details: { expected: digest, actual },
      });
    }
    const descriptor: Descriptor = { mediaType: 'application/octet-stream', digest, size: file.size };
    const here = await this.#options.content.info(digest);
    const info = here ?? (await this.#options.local.adopt(descriptor, file.path, o));
    await this.discard();
    return info;
  }

  /** Ends the upload; what has come of it goes. */
  async discard(): Promise<void> {
    await this.#end((file) => file.remove());
    this.#onEnd(undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.#file?.running;
    if (this.#file === undefined) return;
    await this.#end((file) => file.release());
    this.#onEnd(running);
  }

  /** Asks this writer to end, and waits until it has. */
  async giveWay(): Promise<void> {
    this.#superseded.abort();
    await this.#options.ended.promise;
  }

  get #mine(): UploadFile {
    if (this.#file === undefined) throw new Error('the upload has ended');
    return this.#file;
  }

  async #end(finish: (file: UploadFile) => Promise<void>): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    try {
      await finish(file);
    } finally {
      this.#options.ended.resolve(undefined);
    }
  }
}

export interface ExpireUploadsOptions extends Abortable {
  /** Only what no byte was added to for so long, in ms. */
  readonly olderThanMs: number;
  /** Changes nothing, and says what it would remove. */
  readonly dryRun?: boolean;
}

/**
 * Removes uploads that nobody has gone on with. One that is being written stays.
 *
 * @returns what was removed: how many uploads, and their bytes
 */
export async function expireUploads(
  root: string,
  o: ExpireUploadsOptions,
): Promise<{ readonly uploads: number; readonly bytes: number }> {
  let [uploads, bytes] = [0, 0];
  const directory = uploadsDirectory(root);
  const names = await unlessMissing(readdir(directory)).catch((error: unknown) => {
    throw fileError(error, 'list uploads', directory);
  });
  for (const name of names ?? []) {
    throwIfAborted(o.signal);
    const path = join(directory, name);
    if (!ID.test(name)) continue;
    const held = await IngestDirectory.tryLock(path, { create: false });
    if (held === undefined) continue;
    const size = await held.dataSize();
    const file = (await unlessMissing(stat(held.dataPath))) ?? (await unlessMissing(stat(path)));
    const old = file !== undefined && Date.now() - file.mtimeMs >= o.olderThanMs;
    if (old) [uploads, bytes] = [uploads + 1, bytes + size];
    if (old && o.dryRun !== true) await held.remove();
    else await held.release();
  }
  return { uploads, bytes };
}
