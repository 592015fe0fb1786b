import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import {
  blobPath,
  CONTAINERD_NAME,
  INDEX_FILE,
  REF_NAME,
  TemporaryFile,
  withRootLocked,
} from '../../content/index.js';
import { SpecError, systemCode } from '../../errors.js';
import {
  type Descriptor,
  formatReference,
  type ImageIndex,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
  parseReference,
} from '../../spec/index.js';
import { type Deferred, deferred } from '../../concurrency/index.js';
import {
  bareOmissions,
  type Declaration,
  DECLARATION_FILE,
  type DeclaredSet,
  parseDeclaration,
  renderDeclaration,
} from './declaration.js';

/** What is to become of the entries of an `index.json`. */
export interface IndexChange {
  readonly entries: (entries: readonly Descriptor[]) => readonly Descriptor[];
  /** What is declared as left out besides. */
  readonly omitted?: readonly Descriptor[] | undefined;
  /** The set that its images are of, in place of what was declared before. */
  readonly set?: DeclaredSet | undefined;
}

interface Waiting extends IndexChange {
  readonly done: Deferred<undefined>;
}

/**
 * The `index.json` of a layout that several programs write at once: it is read, changed and put back under a
 * lock on the directory, so that nobody takes away what another one has written. What waits in one process is
 * written together.
 */
export class LayoutIndex {
  readonly #directory: string;
  #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Resolves when the change is durable. What it names has to be so before. Errors: INVALID_MANIFEST and the
   * like for a file that is none, LIMIT_EXCEEDED for more entries than readers take; FILESYSTEM.
   */
  async change(change: IndexChange): Promise<void> {
    const done = deferred<undefined>();
    this.#waiting.push({ ...change, done });
    void this.#run();
    await done.promise;
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      let batch: readonly Waiting[] = [];
      try {
        await withRootLocked(this.#directory, async () => {
          batch = this.#waiting;
          this.#waiting = [];
          await this.#apply(batch);
        });
        for (const { done } of batch) done.resolve(undefined);
      } catch (error) {
        const failed = batch.length > 0 ? batch : this.#waiting.splice(0);
        for (const { done } of failed) done.reject(error);
      }
    }
    this.#isRunning = false;
  }

  async #apply(batch: readonly IndexChange[]): Promise<void> {
    const before = await readIndexFile(this.#directory);
    const entries = batch.reduce<readonly Descriptor[]>(
      (all, change) => change.entries(all),
      before.manifests,
    );
    await this.#declare(
      batch.flatMap(({ omitted = [] }) => omitted),
      batch.findLast(({ set }) => set !== undefined)?.set,
    );
    // What others have written beside the entries stays.
    const rest = Object.entries(before).filter(([key]) => key !== 'kind');
    const text = JSON.stringify({ schemaVersion: 2, ...Object.fromEntries(rest), manifests: entries });
    if (entries.length > LIMITS.indexManifests || Buffer.byteLength(text) > LIMITS.manifestBytes) {
      throw tooManyImages(entries.length);
    }
    if (JSON.stringify(entries) === JSON.stringify(before.manifests)) return;
    await writeWhole(this.#directory, INDEX_FILE, Buffer.from(text));
  }

  /** Adds to what is declared as left out, and takes away what has come since. */
  async #declare(omitted: readonly Descriptor[], declared: DeclaredSet | undefined): Promise<void> {
    if (omitted.length === 0 && declared === undefined) return;
    const { omitted: omittedBefore, ...before } = await readDeclarationFile(this.#directory);
    const missing: Descriptor[] = [];
    for (const descriptor of bareOmissions([...omittedBefore, ...omitted])) {
      if (!(await isThere(blobPath(this.#directory, descriptor.digest)))) missing.push(descriptor);
    }
    const set = declared ?? before;
    const bytes = renderDeclaration({ ...set, omitted: missing });
    if (bytes.equals(renderDeclaration({ ...before, omitted: omittedBefore }))) return;
    // A layout that has all of its set needs no word of it.
    const isWhole = missing.length === 0 && set.elsewhere?.length === 0 && before.elsewhere === undefined;
    if (!isWhole) await writeWhole(this.#directory, DECLARATION_FILE, bytes);
  }
}

/** What a layout directory declares as left out. */
export async function readDeclarationFile(directory: string): Promise<Declaration> {
  const bytes = await readIfThere(join(directory, DECLARATION_FILE));
  return bytes === undefined ? { omitted: [] } : parseDeclaration(bytes);
}

/**
 * How an image is named in an index, so that containerd finds the name as well as those who know the
 * specification.
 */
export function namedEntry(descriptor: Descriptor, name: string): Descriptor {
  const isReference = canonicalOf(name) === name;
  // Only containerd looks for a name by a digest.
  const byDigest = name.includes('@');
  return {
    ...namelessEntry(descriptor),
    annotations: {
      ...(isReference ? { [CONTAINERD_NAME]: name } : {}),
      ...(byDigest ? {} : { [REF_NAME]: name }),
    },
  };
}

export function namelessEntry({ mediaType, digest, size, platform, artifactType }: Descriptor): Descriptor {
  return {
    mediaType,
    digest,
    size,
    ...(platform === undefined ? {} : { platform }),
    ...(artifactType === undefined ? {} : { artifactType }),
  };
}

/** More entries, or longer ones, than programs read. */
export function tooManyImages(count: number): SpecError {
  return new SpecError('LIMIT_EXCEEDED', `an index of ${count} images is longer than programs read`, {
    details: { actual: count, limit: LIMITS.indexManifests },
    hint: 'Spread the images over several archives or layouts.',
  });
}

/** Writes a file at the top of a layout so that a reader sees the old one or the new one. */
export async function writeWhole(directory: string, name: string, bytes: Buffer): Promise<void> {
  await using file = await TemporaryFile.create(directory);
  await file.handle.writeFile(bytes);
  await file.publish(join(directory, name));
}

async function readIndexFile(directory: string): Promise<ImageIndex> {
  const bytes = await readIfThere(join(directory, INDEX_FILE));
  if (bytes === undefined) return { kind: 'index', mediaType: MEDIA_TYPES.ociIndex, manifests: [] };
  const index = parseManifest(bytes, MEDIA_TYPES.ociIndex);
  if (index.kind === 'index') return index;
  throw new SpecError('INVALID_MANIFEST', `${join(directory, INDEX_FILE)} is not an image index`);
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function canonicalOf(name: string): string | undefined {
  try {
    return formatReference(parseReference(name));
  } catch {
    return undefined;
  }
}
