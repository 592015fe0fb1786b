import type { Abortable } from '../../errors.js';
import type { Platform } from '../../spec/index.js';
import type { DestinationPlace } from '../destination.js';
import { ArchiveContents } from './archive-contents.js';
import {
  type ArchiveOutput,
  type ArchiveTarget,
  openArchiveOutput,
  type OpenArchiveOutputOptions,
} from './archive-output.js';
import { ArchiveRepository } from './archive-repository.js';
import type { ArchiveFormat } from './archive.js';
import type { PrefetchOptions } from './prefetched-blobs.js';
import { archiveBytes } from './write-archive.js';

export interface ArchiveDestinationOptions extends OpenArchiveOutputOptions {
  /** Default `both`. */
  readonly format?: ArchiveFormat | undefined;
  /** Of an image for several, the one that Docker is shown; default: this machine's, else the first. */
  readonly platform?: Platform | undefined;
  readonly prefetch?: PrefetchOptions | undefined;
}

/**
 * An archive to write. What is put is only noted, but for manifests and indexes, which are read at once; all else is opened and
 * verified when the archive is written, each digest once, so that its source has to stay open until `finish` is done.
 */
export class ArchiveDestination implements DestinationPlace {
  readonly kind = 'archive';
  readonly name: string;
  readonly format: ArchiveFormat;
  readonly contents: ArchiveContents = new ArchiveContents();
  readonly #options: ArchiveDestinationOptions;
  readonly #output: ArchiveOutput;
  #bytesWritten = 0;

  private constructor(output: ArchiveOutput, options: ArchiveDestinationOptions) {
    this.format = options.format ?? 'both';
    this.name = `${this.format === 'docker' ? 'docker' : 'oci'}-archive:${output.location}`;
    this.#options = options;
    this.#output = output;
  }

  /**
   * Opens the file, so that what cannot be written is refused before anything is read.
   *
   * @throws {LandfallError} INVALID_CONFIG for a directory; FILESYSTEM, NO_SPACE
   */
  static async open(
    target: ArchiveTarget,
    options: ArchiveDestinationOptions = {},
  ): Promise<ArchiveDestination> {
    return new ArchiveDestination(await openArchiveOutput(target, options), options);
  }

  repository(name: string): ArchiveRepository {
    return new ArchiveRepository(this, name);
  }

  /** The names of the files that it was split into, once it is written; none where it was not. */
  get parts(): readonly string[] {
    return this.#output.parts ?? [];
  }

  /** Of the archive, once it is written. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Writes the archive, once. Errors: as `archiveBytes`; FILESYSTEM, NO_SPACE. */
  async finish(o: Abortable = {}): Promise<void> {
    const { platform, prefetch } = this.#options;
    const { signal = this.#options.signal } = o;
    const bytes = archiveBytes(this.contents, { format: this.format, platform, prefetch, signal });
    for await (const chunk of bytes) {
      await this.#output.write(chunk);
      this.#bytesWritten += chunk.length;
    }
    await this.#output.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#output[Symbol.asyncDispose]();
  }
}
