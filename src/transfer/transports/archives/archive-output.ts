import { lstat, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { basename, dirname, join } from 'node:path';
import { FileOutput, outputError, sweepTemporaryFiles, TemporaryFile } from '../../../content/index.js';
import { requireRoom } from '../../../engine/pull/require-space.js';
import { type Abortable, abortedError, LandfallError, throwIfAborted } from '../../../errors.js';
import { createDigester, type Digest } from '../../../spec/index.js';
import { type KeptArchive, ResumedOutput } from './resumed-output.js';
import type { ArchivePlan } from './write-archive.js';
import {
  type ArchivePart,
  isPartOf,
  parsePartsManifest,
  partName,
  PARTS_SUFFIX,
  renderPartsManifest,
} from './split-archive.js';

/**
 * Where an archive is written, in order. To be disposed of in any case; without `finish` nothing is left
 * where that can be.
 */
export interface ArchiveOutput extends AsyncDisposable {
  /** For messages. */
  readonly location: string;
  /** The names of the files of one that is split, once it is finished. */
  readonly parts?: readonly string[];
  /**
   * Begins an archive: refuses one that has no room, and gives what an earlier run has left of it, which then
   * need not be fetched. Absent for a stream. Errors: NO_SPACE, FILESYSTEM
   */
  begin?(plan: Pick<ArchivePlan, 'head' | 'size'>, o: Abortable): Promise<readonly KeptArchive[]>;
  /** Resolves when the chunk may be changed. Errors: FILESYSTEM, NO_SPACE; ABORTED. */
  write(chunk: Buffer): Promise<void>;
  /** Puts it in its place, whole. */
  finish(): Promise<void>;
  /** Takes away what an earlier run has left. */
  discard?(): Promise<void>;
}

/** A file, or a stream such as standard output. */
export type ArchiveTarget =
  | {
      /** Its path. */
      readonly file: string;
    }
  | {
      /** The caller ends it. */
      readonly stream: NodeJS.WritableStream;
    };

export interface OpenArchiveOutputOptions extends Abortable {
  /** Splits it into files of at most so many bytes each; see `SplitOutput`. */
  readonly splitBytes?: number | undefined;
}

/** @throws {LandfallError} INVALID_CONFIG for a directory; FILESYSTEM, NO_SPACE */
export async function openArchiveOutput(
  target: ArchiveTarget,
  { splitBytes, signal }: OpenArchiveOutputOptions,
): Promise<ArchiveOutput> {
  if ('stream' in target) return new StreamOutput(target.stream, signal);
  const file = path.resolve(target.file);
  if (splitBytes !== undefined) return await SplitOutput.open(file, splitBytes);
  return (await ResumedOutput.open(file)) ?? (await FileOutput.open(file));
}

/** A stream that stays open. A reader that goes before the end is a failure: what it has is no archive. */
class StreamOutput implements ArchiveOutput {
  readonly location = 'standard output';
  readonly #stream: NodeJS.WritableStream;
  readonly #signal: AbortSignal | undefined;
  readonly #onError = (): void => undefined;

  constructor(stream: NodeJS.WritableStream, signal: AbortSignal | undefined) {
    this.#stream = stream;
    this.#signal = signal;
    // The same error rejects the write.
    stream.on('error', this.#onError);
  }

  async write(chunk: Buffer): Promise<void> {
    throwIfAborted(this.#signal);
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(abortedError(this.#signal));
      this.#signal?.addEventListener('abort', onAbort, { once: true });
      this.#stream.write(chunk, (error) => {
        this.#signal?.removeEventListener('abort', onAbort);
        if (error === undefined || error === null) resolve();
        else reject(outputError(error, this.location));
      });
    });
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stream.off('error', this.#onError);
    return Promise.resolve();
  }
}

/** Each part stays open until all have their names. */
const MAX_PARTS = 10_000;

/**
 * Writes an archive as `FILE.000`, `FILE.001`, … of at most so many bytes each, and a list of them,
 * `FILE.parts.json`, without which they mean nothing. They get their names when all are whole, the list last;
 * an earlier archive of the name goes, in parts or not.
 */
class SplitOutput implements ArchiveOutput {
  readonly location: string;
  readonly #partBytes: number;
  readonly #parts: OpenPart[] = [];
  readonly #whole = createDigester('sha256');
  #size = 0;
  #names: readonly string[] = [];

  private constructor(file: string, partBytes: number) {
    this.location = file;
    this.#partBytes = partBytes;
  }

  /** @param file absolute */
  static async open(file: string, partBytes: number): Promise<SplitOutput> {
    try {
      await sweepTemporaryFiles(dirname(file));
      return new SplitOutput(file, partBytes);
    } catch (error) {
      throw outputError(error, file);
    }
  }

  get parts(): readonly string[] {
    return this.#names;
  }

  async begin({ size }: Pick<ArchivePlan, 'size'>): Promise<readonly KeptArchive[]> {
    await requireRoom(this.location, dirname(this.location), size);
    return [];
  }

  async write(chunk: Buffer): Promise<void> {
    try {
      this.#whole.update(chunk);
      this.#size += chunk.length;
      for (let at = 0; at < chunk.length;) {
        const part = await this.#partWithRoom();
        const end = Math.min(chunk.length, at + this.#partBytes - part.size);
        await part.write(chunk.subarray(at, end));
        at = end;
      }
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  async finish(): Promise<void> {
    const directory = dirname(this.location);
    const list = `${this.location}${PARTS_SUFFIX}`;
    try {
      const before = await readParts(list);
      // From here on there is no archive until there is the new one.
      await rm(list, { force: true });
      const parts: ArchivePart[] = [];
      for (const [at, part] of this.#parts.entries()) {
        const name = partName(basename(this.location), at);
        await part.file.publish(join(directory, name));
        parts.push({ name, size: part.size, digest: part.digest() });
      }
      await using file = await TemporaryFile.create(directory);
      await file.handle.writeFile(
        renderPartsManifest({ size: this.#size, digest: this.#whole.digest(), parts }),
      );
      await file.publish(list);
      // It would be read in place of the parts.
      if (await isFile(this.location)) await rm(this.location, { force: true });
      this.#names = parts.map(({ name }) => name);
      for (const { name } of before) {
        // A list of another origin must not have other files deleted.
        if (!isPartOf(basename(this.location), name) || this.#names.includes(name)) continue;
        await rm(join(directory, name), { force: true });
      }
    } catch (error) {
      throw outputError(error, this.location);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { file } of this.#parts) await file[Symbol.asyncDispose]();
  }

  async #partWithRoom(): Promise<OpenPart> {
    const last = this.#parts.at(-1);
    if (last !== undefined && last.size < this.#partBytes) return last;
    if (this.#parts.length >= MAX_PARTS) {
      throw new LandfallError('LIMIT_EXCEEDED', `the archive would have more than ${MAX_PARTS} parts`, {
        hint: 'Choose larger ones with --split.',
      });
    }
    const part = new OpenPart(await TemporaryFile.create(dirname(this.location)));
    this.#parts.push(part);
    return part;
  }
}

class OpenPart {
  readonly file: TemporaryFile;
  size = 0;
  readonly #digester = createDigester('sha256');

  constructor(file: TemporaryFile) {
    this.file = file;
  }

  async write(chunk: Buffer): Promise<void> {
    await this.file.handle.writeFile(chunk);
    this.#digester.update(chunk);
    this.size += chunk.length;
  }

  /** Once. */
  digest(): Digest {
    return this.#digester.digest();
  }
}

function isFile(path: string): Promise<boolean> {
  return lstat(path).then(
    (status) => status.isFile(),
    () => false,
  );
}

/** Those of an earlier archive; none where there is no list, or one that is damaged. */
async function readParts(list: string): Promise<readonly ArchivePart[]> {
  try {
    return parsePartsManifest(await readFile(list)).parts;
  } catch {
    return [];
  }
}
