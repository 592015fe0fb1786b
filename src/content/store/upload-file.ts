import { constants } from 'node:fs';
import { type FileHandle, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type Abortable, ContentError, LandfallError, throwIfAborted } from '../../errors.js';
import { algorithmOf, createDigester, type Digest, type Digester } from '../../spec/index.js';
import { startWriteback } from '../../system/index.js';
import { bytesIn, cutChunks } from './arriving-bytes.js';
import { fileError, unlessMissing } from './layout-files.js';
import { IngestDirectory } from './ingest-directory.js';

/** What an upload is for, as it was begun. */
export interface UploadInfo {
  /** The canonical name of the repository that it was begun in. */
  readonly repository: string;
  /**
   * `sha256` or `sha512`, as far as the client has said: its digest follows the bytes, another is computed at
   * the end.
   */
  readonly algorithm: string;
}

/** The digest over the bytes that have come so far, which a file cannot keep. */
export interface Running {
  readonly algorithm: string;
  readonly digester: Digester;
  readonly bytes: number;
}

const FACTS_FILE = 'upload.json';
const PIECE_BYTES = 1024 * 1024;
/**
 * After so many bytes the disk is told to begin with them, so that little is left for the sync at the end.
 */
const WRITE_BACK_BYTES = 8 * 1024 * 1024;

/**
 * The bytes of one upload, for one writer at a time, under the lock of its directory. They come in order, so
 * that the length of the file says what there is, after a crash too; whether that is right, the digest says
 * in the end.
 */
export class UploadFile {
  readonly info: UploadInfo;
  readonly #directory: IngestDirectory;
  readonly #data: FileHandle;
  #size: number;
  #running: Running | undefined;
  #dirtyBytes = 0;

  private constructor(
    directory: IngestDirectory,
    data: FileHandle,
    o: { readonly info: UploadInfo; readonly size: number; readonly running: Running | undefined },
  ) {
    this.#directory = directory;
    this.#data = data;
    this.info = o.info;
    this.#size = o.size;
    this.#running = o.running?.bytes === o.size ? o.running : undefined;
  }

  /** @throws ContentError NO_SPACE, FILESYSTEM */
  static async create(path: string, info: UploadInfo): Promise<void> {
    const directory = await IngestDirectory.lock(path);
    try {
      await writeFile(join(path, FACTS_FILE), JSON.stringify(info), { flag: 'wx' });
      await (await open(directory.dataPath, 'wx', 0o600)).close();
    } catch (error) {
      await directory.remove();
      throw fileError(error, 'begin an upload', path);
    }
    await directory.release();
  }

  /**
   * @param running what an earlier writer of this process has computed
   * @returns undefined where there is no such upload
   * @throws ContentError IN_USE (another process writes it), FILESYSTEM
   */
  static async open(path: string, running: Running | undefined): Promise<UploadFile | undefined> {
    if ((await readUploadInfo(path)) === undefined) return undefined;
    const directory = await IngestDirectory.tryLock(path, { create: false });
    if (directory === undefined) {
      throw new ContentError('IN_USE', 'another process writes this upload', { retryable: true });
    }
    try {
      // It may have ended before it was ours.
      const info = await readUploadInfo(path);
      const data = await unlessMissing(open(directory.dataPath, constants.O_RDWR | constants.O_NOFOLLOW));
      if (info !== undefined && data !== undefined) {
        const { size } = await data.stat();
        return new UploadFile(directory, data, { info, size, running });
      }
    } catch (error) {
      await directory.release();
      throw fileError(error, 'open an upload', path);
    }
    await directory.remove();
    return undefined;
  }

  /** Bytes that have come. */
  get size(): number {
    return this.#size;
  }

  get path(): string {
    return this.#directory.dataPath;
  }

  /** For whoever goes on in this process. */
  get running(): Running | undefined {
    return this.#running;
  }

  /** Adds bytes at the end. Where it fails, what came before is still there. */
  async append(chunks: readonly Uint8Array[]): Promise<void> {
    const length = bytesIn(chunks);
    try {
      for (let done = 0; done < length;) {
        const left = done === 0 ? chunks : cutChunks(chunks, done, length);
        const { bytesWritten } = await this.#data.writev(left, this.#size + done);
        done += bytesWritten;
      }
    } catch (error) {
      await this.#data.truncate(this.#size).catch(() => undefined);
      throw fileError(error, 'write an upload', this.path);
    }
    this.#digest(chunks, length);
    this.#size += length;
    this.#dirtyBytes += length;
    if (this.#dirtyBytes < WRITE_BACK_BYTES) return;
    this.#dirtyBytes = 0;
    await startWriteback(this.#data.fd);
  }

  /** The digest of all that has come, by the algorithm of another one. May be called once. */
  async digest(of: Digest, o: Abortable = {}): Promise<Digest> {
    const running = this.#running;
    this.#running = undefined;
    if (running?.algorithm === algorithmOf(of)) return running.digester.digest();
    const digester = createDigester(of);
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    for (let at = 0; at < this.#size;) {
      throwIfAborted(o.signal);
      const { bytesRead } = await this.#data.read(buffer, 0, PIECE_BYTES, at).catch((error: unknown) => {
        throw fileError(error, 'read an upload', this.path);
      });
      if (bytesRead === 0) break;
      digester.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
    return digester.digest();
  }

  /** Lets the next writer in; what has come stays. */
  async release(): Promise<void> {
    await this.#data.close();
    await this.#directory.release();
  }

  /** Ends the upload: whatever is left of it goes. */
  async remove(): Promise<void> {
    await this.#data.close();
    await this.#directory.remove();
  }

  #digest(chunks: readonly Uint8Array[], length: number): void {
    const known = this.#size === 0 ? this.#begun() : this.#running;
    if (known === undefined) return;
    for (const chunk of chunks) known.digester.update(chunk);
    this.#running = { ...known, bytes: this.#size + length };
  }

  /**
   * What an earlier process has digested is read again at the end; a digest can only be begun at the first
   * byte.
   */
  #begun(): Running {
    const { algorithm } = this.info;
    return { algorithm, digester: createDigester(algorithm === 'sha512' ? 'sha512' : 'sha256'), bytes: 0 };
  }
}

/** Undefined where there is no such upload. */
export async function readUploadInfo(path: string): Promise<UploadInfo | undefined> {
  try {
    const text = await unlessMissing(readFile(join(path, FACTS_FILE), 'utf8'));
    const info: unknown = text === undefined ? undefined : JSON.parse(text);
    return isInfo(info) ? info : undefined;
  } catch (error) {
    // A machine that lost its power may have kept the name alone.
    if (error instanceof SyntaxError) return undefined;
    throw error instanceof LandfallError ? error : fileError(error, 'look at an upload', path);
  }
}

/** How many bytes of an upload have come, for who only looks; undefined where there is none. */
export async function uploadSize(path: string): Promise<number | undefined> {
  const file = await unlessMissing(stat(IngestDirectory.dataPathIn(path))).catch((error: unknown) => {
    throw fileError(error, 'look at an upload', path);
  });
  return file?.size;
}

function isInfo(value: unknown): value is UploadInfo {
  if (typeof value !== 'object' || value === null) return false;
  const { repository, algorithm } = value as Partial<Record<keyof UploadInfo, unknown>>;
  return typeof repository === 'string' && typeof algorithm === 'string';
}
