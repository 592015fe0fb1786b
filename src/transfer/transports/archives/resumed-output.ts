import { constants } from 'node:fs';
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { outputError, sweepTemporaryFiles, syncDirectory, unlessMissing } from '../../../content/index.js';
import { requireRoom } from '../../../engine/pull/require-space.js';
import { type Abortable, LandfallError } from '../../../errors.js';
import type { Descriptor } from '../../../spec/index.js';
import { tryLock } from '../../../system/index.js';
import type { OpenContent } from '../destination.js';
import { ArchiveStream, OpenedFile } from './archive-file.js';
import { indexCutTar, type TarIndex } from './tar-index.js';
import { type ArchivePlan, blobName } from './write-archive.js';

/** Beside an archive: what was written of it. It may be moved beside another one. */
const PARTIAL = '.partial';
/** What was written of it when its set was another one. */
const OLD = '.partial.old';

/** An archive that was not written to its end, to take blobs from. */
export class KeptArchive {
  readonly #file: OpenedFile;
  readonly #tar: TarIndex;

  private constructor(file: OpenedFile, tar: TarIndex) {
    this.#file = file;
    this.#tar = tar;
  }

  static async open(handle: FileHandle, location: string, o: Abortable): Promise<KeptArchive> {
    const { size } = await handle.stat();
    const file = new OpenedFile(handle, location, { size, isRegular: true });
    return new KeptArchive(file, await indexCutTar(file, o));
  }

  /** How much of it is known to be an archive. */
  get bytes(): number {
    return Math.min(this.#tar.end, this.#file.size);
  }

  /**
   * Opens a blob so that what is here of it is not fetched; undefined where nothing is.
   *
   * @param fetch gives the rest
   */
  opener({ digest, size }: Descriptor, fetch: OpenContent): OpenContent | undefined {
    const member = this.#tar.find(blobName(digest));
    if (member?.size !== size) return undefined;
    const present = Math.min(size, this.#file.size - member.offset);
    if (present <= 0) return undefined;
    const file = this.#file;
    const read = async function* (from: number): AsyncGenerator<Buffer, void, undefined> {
      if (from < present) yield* new ArchiveStream(file, member.offset + from, member.offset + present);
      if (present < size) yield* await fetch(Math.max(from, present));
    };
    return (from = 0) => Promise.resolve(Readable.from(read(from), { objectMode: false }));
  }
}

/**
 * An archive in one file. It is written as `FILE.partial` and gets its name when it is whole. What a run that
 * broke off has left is gone on with: in place where the same set is written, since the same images give the
 * same bytes; else its blobs are taken from there.
 */
export class ResumedOutput {
  /** The absolute path. */
  readonly location: string;
  readonly #to: string;
  #handle: FileHandle;
  #old: FileHandle | undefined;
  /** Bytes that stand there already, and are the same. */
  #kept = 0;
  #position = 0;
  #headBytes = 0;
  #isFinished = false;

  private constructor(location: string, to: string, handle: FileHandle) {
    this.location = location;
    this.#to = to;
    this.#handle = handle;
  }

  /**
   * Undefined for a device, and where another process writes the same archive: then nothing is kept.
   *
   * @param file absolute
   * @throws {LandfallError} INVALID_CONFIG for a directory, FILESYSTEM, NO_SPACE
   */
  static async open(file: string): Promise<ResumedOutput | undefined> {
    try {
      const present = await unlessMissing(stat(file));
      if (present?.isDirectory() === true) {
        throw new LandfallError('INVALID_CONFIG', `${file} is a directory`, { hint: 'Name a file.' });
      }
      if (present !== undefined && !present.isFile()) return undefined;
      const to = (await unlessMissing(realpath(file))) ?? file;
      await sweepTemporaryFiles(dirname(to));
      const handle = await openLocked(`${to}${PARTIAL}`);
      return handle === undefined ? undefined : new ResumedOutput(file, to, handle);
    } catch (error) {
      throw outputError(error, file);
    }
  }

  async begin(
    { head, size }: Pick<ArchivePlan, 'head' | 'size'>,
    o: Abortable,
  ): Promise<readonly KeptArchive[]> {
    this.#headBytes = head.length;
    try {
      const partial = `${this.#to}${PARTIAL}`;
      const old = `${this.#to}${OLD}`;
      const written = await this.#handle.stat();
      const isSame = written.size >= head.length && (await beginsWith(this.#handle, head));
      const kept: KeptArchive[] = [];
      if (isSame) {
        const begun = await KeptArchive.open(this.#handle, partial, o);
        this.#kept = begun.bytes;
        kept.push(begun);
      } else if (written.size > 0) {
        await rename(partial, old);
        this.#old = this.#handle;
        this.#handle = await this.#begun(partial);
      }
      this.#old ??= await unlessMissing(open(old, 'r'));
      await requireRoom(this.location, dirname(this.#to), size - this.#kept);
      if (this.#old !== undefined) kept.push(await KeptArchive.open(this.#old, old, o));
      return kept;
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  async #begun(partial: string): Promise<FileHandle> {
    const handle = await openLocked(partial);
    if (handle !== undefined) return handle;
    throw new LandfallError('IN_USE', `another process writes ${this.location}`, {
      hint: 'Wait until it has ended.',
    });
  }

  async write(chunk: Buffer): Promise<void> {
    const from = Math.max(0, Math.min(chunk.length, this.#kept - this.#position));
    try {
      for (let at = from; at < chunk.length;) {
        const { bytesWritten } = await this.#handle.write(chunk, at, chunk.length - at, this.#position + at);
        at += bytesWritten;
      }
      this.#position += chunk.length;
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  /** Puts it in its place. Afterwards it survives a power cut. */
  async finish(): Promise<void> {
    try {
      await this.#handle.truncate(this.#position);
      await this.#handle.sync();
      await rename(`${this.#to}${PARTIAL}`, this.#to);
      this.#isFinished = true;
      await rm(`${this.#to}${OLD}`, { force: true });
      await syncDirectory(dirname(this.#to));
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  /** Takes away what was kept and is not what it should be. */
  async discard(): Promise<void> {
    await this.#handle.truncate(0);
    await rm(`${this.#to}${OLD}`, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { size } = await this.#handle.stat();
    // Before the lock goes with the handle. What has no blob is not worth being kept.
    if (!this.#isFinished && size <= this.#headBytes) await rm(`${this.#to}${PARTIAL}`, { force: true });
    await this.#handle.close();
    await this.#old?.close();
  }
}

/** Undefined where another process has it. */
async function openLocked(path: string): Promise<FileHandle | undefined> {
  for (;;) {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT);
    try {
      if (!isLocked(handle)) {
        await handle.close();
        return undefined;
      }
      // Its process may have given it its name in between.
      const [own, there] = await Promise.all([handle.stat(), unlessMissing(stat(path))]);
      if (own.ino === there?.ino) return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
    await handle.close();
  }
}

/** True where there is no locking here. */
function isLocked({ fd }: FileHandle): boolean {
  try {
    return tryLock(fd, 'exclusive');
  } catch {
    return true;
  }
}

async function beginsWith(handle: FileHandle, head: Buffer): Promise<boolean> {
  const begin = Buffer.alloc(head.length);
  let filled = 0;
  while (filled < begin.length) {
    const { bytesRead } = await handle.read(begin, filled, begin.length - filled, filled);
    if (bytesRead === 0) return false;
    filled += bytesRead;
  }
  return begin.equals(head);
}
