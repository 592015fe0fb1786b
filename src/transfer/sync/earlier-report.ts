import { readFile } from 'node:fs/promises';
import { LandfallError, SpecError, systemCode } from '../../errors.js';
import { type Digest, parseDigest, parseJson } from '../../spec/index.js';
import type { SyncedContent, SyncedImage } from './sync-result.js';

/** A report of a hundred thousand images with a hundred blobs each. */
const MAX_BYTES = 2 * 1024 ** 3 - 1;

interface EarlierImage {
  readonly digest: Digest;
  readonly contents: readonly SyncedContent[];
}

/** What the report of an earlier run says that its destinations have. */
export class EarlierReport {
  /** Whether it is of a run that only looked, so that nobody has anything by it. */
  readonly dryRun: boolean;
  readonly #images: ReadonlyMap<string, EarlierImage>;

  constructor(
    images: ReadonlyMap<string, EarlierImage>,
    { dryRun = false }: { readonly dryRun?: boolean } = {},
  ) {
    this.#images = images;
    this.dryRun = dryRun;
  }

  /** All that the far side has. */
  get digests(): ReadonlySet<Digest> {
    return new Set(
      [...this.#images.values()].flatMap(({ digest, contents }) => [
        digest,
        ...contents.map((content) => content.digest),
      ]),
    );
  }

  /** Whether it had an image under that name. */
  has(name: string, digest: Digest): boolean {
    return this.#images.get(name)?.digest === digest;
  }

  /** What an image consists of; nothing where it is not told. */
  contentsOf(name: string, digest: Digest): readonly SyncedContent[] {
    const image = this.#images.get(name);
    return image?.digest === digest ? image.contents : [];
  }

  /** An image with what this report adds to what it is known to consist of. */
  complete(image: SyncedImage): SyncedImage {
    if (image.target === undefined || image.outcome === 'failed') return image;
    const known = new Set(image.contents.map(({ digest }) => digest));
    const added = this.contentsOf(image.name, image.target.digest).filter(({ digest }) => !known.has(digest));
    return added.length === 0 ? image : { ...image, contents: [...image.contents, ...added] };
  }
}

/**
 * Reads what `--report` wrote; undefined where there is no such file.
 *
 * @throws {LandfallError} INVALID_CONFIG where it cannot be read, or is something else; {SpecError} INVALID_DIGEST
 */
export async function readEarlierReport(file: string): Promise<EarlierReport | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw invalid(file, `cannot be read (${systemCode(cause) ?? 'unknown error'})`, cause);
  }
  const raw = parse(bytes, file);
  if (!isObject(raw) || !Array.isArray(raw['images'])) throw invalid(file, 'is not the report of a sync');
  const images = new Map<string, EarlierImage>();
  for (const image of raw['images'] as readonly unknown[]) {
    const read = readImage(image, file);
    if (read !== undefined) images.set(read.name, read.image);
  }
  return new EarlierReport(images, { dryRun: raw['dryRun'] === true });
}

function parse(bytes: Buffer, file: string): unknown {
  try {
    return parseJson(bytes, 'report', MAX_BYTES);
  } catch (cause) {
    if (cause instanceof SpecError) throw invalid(file, 'is not JSON', cause);
    throw cause;
  }
}

/** Undefined for one that failed. */
function readImage(raw: unknown, file: string): { name: string; image: EarlierImage } | undefined {
  if (!isObject(raw) || typeof raw['name'] !== 'string') throw invalid(file, 'has an image without a name');
  const { name, outcome, digest, contents } = raw;
  if (outcome === 'failed' || typeof digest !== 'string') return undefined;
  const listed = Array.isArray(contents) ? (contents as readonly unknown[]) : [];
  return {
    name,
    image: { digest: parseDigest(digest), contents: listed.map((one) => readContent(one, file)) },
  };
}

function readContent(raw: unknown, file: string): SyncedContent {
  if (!isObject(raw) || typeof raw['digest'] !== 'string')
    throw invalid(file, 'has content without a digest');
  const { digest, mediaType, size } = raw;
  return {
    digest: parseDigest(digest),
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    size: typeof size === 'number' ? size : 0,
    outcome: 'known',
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(file: string, fault: string, cause?: unknown): LandfallError {
  return new LandfallError('INVALID_CONFIG', `${file} ${fault}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'Give the file that `landfall sync --report` wrote.',
    details: { path: file },
  });
}
