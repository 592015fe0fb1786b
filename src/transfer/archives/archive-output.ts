import path from 'node:path';
import { FileOutput, outputError } from '../../content/index.js';
import { type Abortable, abortedError, throwIfAborted } from '../../errors.js';
import { SplitOutput } from './split-output.js';

/** Where an archive is written, in order. To be disposed of in any case; without `finish` nothing is left where that can be. */
export interface ArchiveOutput extends AsyncDisposable {
  /** For messages. */
  readonly location: string;
  /** The names of the files of one that is split, once it is finished. */
  readonly parts?: readonly string[];
  /** Resolves when the chunk may be changed. Errors: FILESYSTEM, NO_SPACE; ABORTED. */
  write(chunk: Buffer): Promise<void>;
  /** Puts it in its place, whole. */
  finish(): Promise<void>;
}

/** A file, or a stream such as standard output. */
export type ArchiveTarget =
  | {
      /** Its path. */
      readonly file: string;
    }
  | {
      /** Ended by whoever opened it. */
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
  return splitBytes === undefined
    ? new WholeFile(await FileOutput.open(file))
    : await SplitOutput.open(file, splitBytes);
}

class WholeFile implements ArchiveOutput {
  readonly location: string;
  readonly #output: FileOutput;

  constructor(output: FileOutput) {
    this.location = output.file;
    this.#output = output;
  }

  async write(chunk: Buffer): Promise<void> {
    await this.#output.write(chunk);
  }

  async finish(): Promise<void> {
    await this.#output.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#output[Symbol.asyncDispose]();
  }
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
    // The same error reaches whoever waits for the write.
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
