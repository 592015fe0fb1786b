import path from 'node:path';
import { FileOutput, outputError } from '../../../content/index.js';
import { type Abortable, abortedError, throwIfAborted } from '../../../errors.js';
import { inUse, type KeptArchive, ResumedOutput } from './resumed-output.js';
import type { ArchivePlan } from './write-archive.js';

/**
 * Where an archive is written, in order. To be disposed of in any case; without `finish` nothing is left
 * but what the next run can go on with.
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
  /** Splits it into files of at most so many bytes each; see `ResumedOutput`. */
  readonly splitBytes?: number | undefined;
}

/** @throws {LandfallError} INVALID_CONFIG for a directory; FILESYSTEM, NO_SPACE */
export async function openArchiveOutput(
  target: ArchiveTarget,
  { splitBytes, signal }: OpenArchiveOutputOptions,
): Promise<ArchiveOutput> {
  if ('stream' in target) return new StreamOutput(target.stream, signal);
  const file = path.resolve(target.file);
  const output = await ResumedOutput.open(file, splitBytes);
  if (output !== undefined) return output;
  if (splitBytes !== undefined) throw inUse(file);
  return await FileOutput.open(file);
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
