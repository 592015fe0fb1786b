import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { KeyedLimiter } from '../concurrency/index.js';
import {
  blobDirectory,
  blobPath,
  BLOBS,
  DATABASE_FILE,
  INDEX_FILE,
  LAYOUT_FILE,
  LAYOUT_VERSION,
  makeDirectory,
  OciLayout,
  outputError,
  sweepTemporaryFiles,
  TemporaryFile,
  withRootLocked,
} from '../content/index.js';
import { type Abortable, LandfallError, throwIfAborted } from '../errors.js';
import { type Descriptor, type Digest, MEDIA_TYPES } from '../spec/index.js';
import type { DestinationPlace, OpenContent, PutOptions, PutOutcome } from './destination.js';
import { LayoutIndex, writeWhole } from './layout-index.js';
import { LayoutPlace } from './layout-place.js';
import { LayoutDestinationRepository } from './layout-repository.js';
import { verifiedContent } from './verified-content.js';

/** What other programs, and file systems, leave in a directory that is otherwise empty. */
const NOTHING: ReadonlySet<string> = new Set(['lost+found']);
const TEMPORARY = '.landfall-';

/**
 * An OCI layout directory to write (image-spec: image-layout.md). Any number of processes may write to one at once: each blob
 * gets its name when it is whole, and `index.json` is changed by one at a time.
 */
export class LayoutDestination implements DestinationPlace {
  readonly kind = 'layout';
  readonly name: string;
  readonly directory: string;
  readonly layout: OciLayout;
  /** The same, to read. */
  readonly source: LayoutPlace;
  readonly index: LayoutIndex;
  readonly #turns = new KeyedLimiter<Digest>(1);

  private constructor(directory: string, layout: OciLayout) {
    this.directory = directory;
    this.name = `oci:${directory}`;
    this.layout = layout;
    this.source = new LayoutPlace({ content: layout, location: this.name, path: directory });
    this.index = new LayoutIndex(directory);
  }

  /**
   * Opens a layout, or makes one where there is nothing.
   *
   * @throws {LandfallError} INVALID_CONFIG for a directory with something else in it, or a store of ours; UNSUPPORTED for a layout
   *   of an unknown version; INVALID_MANIFEST; FILESYSTEM, NO_SPACE; ABORTED
   */
  static async open(directory: string, o: Abortable = {}): Promise<LayoutDestination> {
    try {
      await refuseStore(directory);
      if (!(await exists(join(directory, LAYOUT_FILE)))) await makeLayout(directory, o);
      await sweepTemporaryFiles(directory);
      return new LayoutDestination(directory, await OciLayout.open(directory));
    } catch (error) {
      throw outputError(error, directory);
    }
  }

  repository(name: string): LayoutDestinationRepository {
    return new LayoutDestinationRepository(this, name);
  }

  /** Brings a blob; from the same process each once at a time. Where that fails, who waited for it tries by itself. */
  async putBlob(descriptor: Descriptor, open: OpenContent, o: PutOptions): Promise<PutOutcome> {
    return await this.#turns.run(descriptor.digest, () => this.#bring(descriptor, open, o), o);
  }

  /** Nothing is left to do: each blob and each change of the index was made durable at once. */
  finish(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  async #bring(descriptor: Descriptor, open: OpenContent, o: PutOptions): Promise<PutOutcome> {
    const { digest, size } = descriptor;
    if ((await this.layout.info(digest))?.size === size) return 'exists';
    try {
      await makeDirectory(blobDirectory(this.directory, digest));
      await using file = await TemporaryFile.create(this.directory);
      for await (const chunk of verifiedContent(descriptor, open, o)) await file.handle.writeFile(chunk);
      throwIfAborted(o.signal);
      await file.publish(blobPath(this.directory, digest));
      return 'copied';
    } catch (error) {
      throw outputError(error, this.directory);
    }
  }
}

/** Its index is written from its database, which would know nothing of what is put here. */
async function refuseStore(directory: string): Promise<void> {
  if (!(await exists(join(directory, DATABASE_FILE)))) return;
  throw new LandfallError('INVALID_CONFIG', `${directory} is a store, which is not written to as a layout`, {
    hint: `Name the image alone and the store with --root ${directory}, or choose another directory.`,
    details: { path: directory },
  });
}

/** The first process makes it, under the lock of the directory. */
async function makeLayout(directory: string, o: Abortable): Promise<void> {
  await makeDirectory(directory);
  await withRootLocked(
    directory,
    async () => {
      if (await exists(join(directory, LAYOUT_FILE))) return;
      const others = (await readdir(directory)).filter(
        (name) => !NOTHING.has(name) && !name.startsWith(TEMPORARY) && name !== BLOBS && name !== INDEX_FILE,
      );
      if (others.length > 0) {
        throw new LandfallError('INVALID_CONFIG', `${directory} is neither empty nor an OCI layout`, {
          hint: 'Name a directory that is empty or does not exist.',
          details: { path: directory },
        });
      }
      await makeDirectory(join(directory, BLOBS, 'sha256'));
      if (!(await exists(join(directory, INDEX_FILE)))) {
        const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] };
        await writeWhole(directory, INDEX_FILE, Buffer.from(JSON.stringify(index)));
      }
      const layout = { imageLayoutVersion: LAYOUT_VERSION };
      await writeWhole(directory, LAYOUT_FILE, Buffer.from(JSON.stringify(layout)));
    },
    o,
  );
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
