import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import {
  outputError,
  sweepTemporaryFiles,
  syncDirectory,
  TemporaryFile,
  unlessMissing,
} from '../../../content/index.js';
import { requireRoom } from '../../../engine/pull/require-space.js';
import { type Abortable, LandfallError } from '../../../errors.js';
import { createDigester, type Descriptor } from '../../../spec/index.js';
import { tryLock } from '../../../system/index.js';
import type { OpenContent } from '../destination.js';
import { type ArchiveFile, ArchiveStream, JoinedFile, openArchiveFile, OpenedFile } from './archive-file.js';
import {
  type ArchivePart,
  isPartOf,
  parsePartsManifest,
  partName,
  PARTS_SUFFIX,
  renderPartsManifest,
} from './split-archive.js';
import { indexCutTar, type TarIndex } from './tar-index.js';
import { type ArchivePlan, blobName } from './write-archive.js';

/** Beside an archive: what was written of it. It may be moved beside another one. */
const PARTIAL = '.partial';
/** What was written of it when its set was another one. */
const OLD = '.partial.old';

/** An archive that was not written to its end, to take blobs from. */
export class KeptArchive {
  readonly #file: ArchiveFile;
  readonly #tar: TarIndex;

  private constructor(file: ArchiveFile, tar: TarIndex) {
    this.#file = file;
    this.#tar = tar;
  }

  static async open(file: ArchiveFile, o: Abortable): Promise<KeptArchive> {
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

/** Each part stays open until all have their names. */
const MAX_PARTS = 10_000;

interface OpenPart {
  readonly handle: FileHandle;
  /** What was written of it in this run. */
  size: number;
  readonly digester: ReturnType<typeof createDigester>;
}

/**
 * An archive in one file, or in parts. It is written as `FILE.partial`, parts as `FILE.partial.000` and so on, and
 * gets its name when it is whole. What a run that broke off has left is gone on with: in place where the same
 * set is written, since the same images give the same bytes; else its blobs are taken from there.
 *
 * Parts are named `FILE.000`, `FILE.001`, …, and listed in `FILE.parts.json`, without which they mean nothing.
 * The list comes last; an earlier archive of the name goes, in parts or not.
 */
export class ResumedOutput {
  /** The absolute path. */
  readonly location: string;
  readonly #to: string;
  /** Undefined for one file. */
  readonly #partBytes: number | undefined;
  readonly #whole = createDigester('sha256');
  #parts: OpenPart[];
  #old: ArchiveFile | undefined;
  /** Bytes that stand there already, and are the same. */
  #kept = 0;
  #position = 0;
  #headBytes = 0;
  #isFinished = false;
  #names: readonly string[] = [];

  private constructor(location: string, to: string, o: { first: FileHandle; partBytes: number | undefined }) {
    this.location = location;
    this.#to = to;
    this.#partBytes = o.partBytes;
    this.#parts = [openPart(o.first)];
  }

  /**
   * Undefined for a device, and where another process writes the same archive: then nothing is kept.
   *
   * @param file absolute
   * @param partBytes splits it into files of at most so many bytes each
   * @throws {LandfallError} INVALID_CONFIG for a directory, FILESYSTEM, NO_SPACE
   */
  static async open(file: string, partBytes?: number): Promise<ResumedOutput | undefined> {
    try {
      const present = await unlessMissing(stat(file));
      if (present?.isDirectory() === true) {
        throw new LandfallError('INVALID_CONFIG', `${file} is a directory`, { hint: 'Name a file.' });
      }
      if (present !== undefined && !present.isFile()) return undefined;
      // Parts stand beside the name itself, wherever an earlier archive of that name may be a link to.
      const linked = partBytes === undefined ? await unlessMissing(realpath(file)) : undefined;
      const to = linked ?? file;
      await sweepTemporaryFiles(dirname(to));
      const first = await openLocked(numbered(`${to}${PARTIAL}`, partBytes === undefined ? undefined : 0));
      return first === undefined ? undefined : new ResumedOutput(file, to, { first, partBytes });
    } catch (error) {
      throw outputError(error, file);
    }
  }

  /** The names of the files of one that is split, once it is finished. */
  get parts(): readonly string[] {
    return this.#names;
  }

  async begin(
    { head, size }: Pick<ArchivePlan, 'head' | 'size'>,
    o: Abortable,
  ): Promise<readonly KeptArchive[]> {
    this.#headBytes = head.length;
    try {
      const kept: KeptArchive[] = [];
      const written = await this.#written();
      if (written !== undefined && (await beginsWith(written, head))) {
        const begun = await KeptArchive.open(written, o);
        this.#kept = begun.bytes;
        kept.push(begun);
      } else if ((await this.#sizes()).some((one) => one > 0)) await this.#setAside();
      this.#old ??= await this.#left();
      const largest = Math.min(size, this.#partBytes ?? size);
      await requireRoom(this.location, dirname(this.#to), { needed: size - this.#kept, largest });
      if (this.#old !== undefined) kept.push(await KeptArchive.open(this.#old, o));
      return kept;
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  async write(chunk: Buffer): Promise<void> {
    try {
      for (let at = 0; at < chunk.length;) {
        const { part, offset, room } = await this.#place();
        const piece = chunk.subarray(at, Math.min(chunk.length, at + room));
        let from = Math.max(0, Math.min(piece.length, this.#kept - this.#position));
        while (from < piece.length)
          from += (await part.handle.write(piece, from, piece.length - from, offset + from)).bytesWritten;
        if (this.#partBytes !== undefined) {
          part.digester.update(piece);
          this.#whole.update(piece);
        }
        part.size = offset + piece.length;
        this.#position += piece.length;
        at += piece.length;
      }
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  /** Puts it in its place. Afterwards it survives a power cut. */
  async finish(): Promise<void> {
    try {
      if (this.#partBytes === undefined) await this.#finishPart(0, this.#to);
      else await this.#finishParts();
      this.#isFinished = true;
      for (const path of await this.#there(OLD)) await rm(path, { force: true });
      await syncDirectory(dirname(this.#to));
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  /** Takes away what was kept and is not what it should be. */
  async discard(): Promise<void> {
    for (const { handle } of this.#parts) await handle.truncate(0);
    for (const path of await this.#there(OLD)) await rm(path, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const sizes = await this.#sizes();
    const total = sizes.reduce((sum, size) => sum + size, 0);
    // Before the lock goes with the handle. What has no blob is not worth being kept.
    if (!this.#isFinished && total <= this.#headBytes)
      for (const path of await this.#there(PARTIAL)) await rm(path, { force: true });
    for (const { handle } of this.#parts) await handle.close();
    await this.#old?.[Symbol.asyncDispose]();
  }

  /** What an earlier run has left, where this one can go on in it; undefined where parts were of another size. */
  async #written(): Promise<ArchiveFile | undefined> {
    for (const path of (await this.#there(PARTIAL)).slice(1))
      this.#parts.push(openPart(await open(path, 'r+')));
    const sizes = await this.#sizes();
    const most = this.#partBytes ?? Infinity;
    const isEven = sizes.slice(0, -1).every((size) => size === most) && (sizes.at(-1) ?? 0) <= most;
    return isEven ? new JoinedFile(await this.#opened(), this.#to) : undefined;
  }

  /** Keeps what is of another set, to take blobs from. */
  async #setAside(): Promise<void> {
    for (const path of await this.#there(OLD)) await rm(path, { force: true });
    for (const [at, path] of (await this.#there(PARTIAL)).entries())
      await rename(path, numbered(`${this.#to}${OLD}`, this.#partBytes === undefined ? undefined : at));
    this.#old = new JoinedFile(await this.#opened(), this.#to);
    const first = await openLocked(this.#path(0));
    if (first === undefined) throw inUse(this.location);
    this.#parts = [openPart(first)];
  }

  async #left(): Promise<ArchiveFile | undefined> {
    const files: ArchiveFile[] = [];
    for (const path of await this.#there(OLD)) files.push(await openArchiveFile(path));
    return files.length === 0 ? undefined : new JoinedFile(files, this.#to);
  }

  async #opened(): Promise<ArchiveFile[]> {
    const sizes = await this.#sizes();
    return this.#parts.map(
      ({ handle }, at) => new OpenedFile(handle, this.#to, { size: sizes[at] ?? 0, isRegular: true }),
    );
  }

  async #sizes(): Promise<readonly number[]> {
    return await Promise.all(this.#parts.map(async ({ handle }) => (await handle.stat()).size));
  }

  /** Where the next byte goes, and how many fit there. */
  async #place(): Promise<{ part: OpenPart; offset: number; room: number }> {
    const partBytes = this.#partBytes ?? Number.MAX_SAFE_INTEGER;
    const index = Math.floor(this.#position / partBytes);
    if (index >= MAX_PARTS) {
      throw new LandfallError('LIMIT_EXCEEDED', `the archive would have more than ${MAX_PARTS} parts`, {
        hint: 'Choose larger ones with --split.',
      });
    }
    const offset = this.#position - index * partBytes;
    const part =
      this.#parts[index] ?? openPart(await open(this.#path(index), constants.O_RDWR | constants.O_CREAT));
    this.#parts[index] = part;
    return { part, offset, room: partBytes - offset };
  }

  async #finishPart(at: number, to: string): Promise<void> {
    const part = this.#parts[at];
    if (part === undefined) return;
    await part.handle.truncate(part.size);
    await part.handle.sync();
    await rename(this.#path(at), to);
  }

  async #finishParts(): Promise<void> {
    const directory = dirname(this.#to);
    const list = `${this.#to}${PARTS_SUFFIX}`;
    const before = await readParts(list);
    // From here on there is no archive until there is the new one.
    await rm(list, { force: true });
    const parts: ArchivePart[] = [];
    for (const [at, { size, digester }] of this.#parts.entries()) {
      if (size === 0) {
        await rm(this.#path(at), { force: true });
        continue;
      }
      const name = partName(basename(this.#to), at);
      await this.#finishPart(at, join(directory, name));
      parts.push({ name, size, digest: digester.digest() });
    }
    await using file = await TemporaryFile.create(directory);
    const whole = { size: this.#position, digest: this.#whole.digest(), parts };
    await file.handle.writeFile(renderPartsManifest(whole));
    await file.publish(list);
    // It would be read in place of the parts.
    const status = await unlessMissing(lstat(this.#to));
    if (status?.isFile() === true) await rm(this.#to, { force: true });
    this.#names = parts.map(({ name }) => name);
    for (const { name } of before) {
      // A list of another origin must not have other files deleted.
      if (!isPartOf(basename(this.#to), name) || this.#names.includes(name)) continue;
      await rm(join(directory, name), { force: true });
    }
  }

  #path(at: number): string {
    return numbered(`${this.#to}${PARTIAL}`, this.#partBytes === undefined ? undefined : at);
  }

  /** The files that are there under a suffix, in their order. */
  async #there(suffix: string): Promise<string[]> {
    const paths: string[] = [];
    for (let at = 0; this.#partBytes !== undefined || at === 0; at += 1) {
      const path = numbered(`${this.#to}${suffix}`, this.#partBytes === undefined ? undefined : at);
      if ((await unlessMissing(lstat(path))) === undefined) break;
      paths.push(path);
    }
    return paths;
  }
}

function openPart(handle: FileHandle): OpenPart {
  return { handle, size: 0, digester: createDigester('sha256') };
}

/** One part of several. */
function numbered(path: string, at: number | undefined): string {
  return at === undefined ? path : partName(path, at);
}

export function inUse(file: string): LandfallError {
  return new LandfallError('IN_USE', `another process writes ${file}`, { hint: 'Wait until it has ended.' });
}

/** Those of an earlier archive; none where there is no list, or one that is damaged. */
async function readParts(list: string): Promise<readonly ArchivePart[]> {
  try {
    return parsePartsManifest(await readFile(list)).parts;
  } catch {
    return [];
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

async function beginsWith(file: ArchiveFile, head: Buffer): Promise<boolean> {
  const begin = Buffer.alloc(head.length);
  return (await file.read(begin, 0)) === head.length && begin.equals(head);
}
