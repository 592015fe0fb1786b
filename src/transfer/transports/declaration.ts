import { ContentError, SpecError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  digestOf,
  isIndexType,
  isManifestType,
  type JsonObject,
  LIMITS,
  parseDescriptor,
  parseDigest,
  parseJson,
} from '../../spec/index.js';

/**
 * `landfall.json`, which stands beside `index.json` in an archive or a layout: what of its indexes and
 * manifests was left out on purpose, and in an archive, which never changes, the digests of the files that
 * have no other.
 */
export const DECLARATION_FILE = 'landfall.json';

const VERSION = 1;
/** Of some 50,000 images of which several platforms each were left out. */
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_OMITTED = 500_000;
/** Ends the file of an archive: the digest of all bytes before it. */
const SEAL = /,\n"digest": "(sha256:[0-9a-f]{64})"\}\n$/;
const SEAL_BYTES = `,\n"digest": "${digestOf(Buffer.alloc(0))}"}\n`.length;

/** A delivery that a delta is to be loaded after. */
export interface EarlierDelivery {
  /** `images.tar`, or `docker://mirror.lan` */
  readonly name: string;
  /** When it was written, in the form of RFC 3339. */
  readonly written: string;
}

/** The images of a declared set, of which an archive or a layout may have a part only. */
export interface DeclaredSet {
  /**
   * Names of images that belong to the set and are not here: `docker.io/library/alpine:3`. Null where not all
   * of them are known; absent where nothing was declared, so that the images here are all.
   */
  readonly elsewhere?: readonly string[] | null | undefined;
  /** What was delivered before, in its order, and has what was left out here; absent where nothing was. */
  readonly base?: readonly EarlierDelivery[] | undefined;
}

export interface Declaration extends DeclaredSet {
  /** Each digest once, in the order of the digests. */
  readonly omitted: readonly Descriptor[];
  /** By name, the digests of the archive's other files that are no blobs; absent in a layout. */
  readonly files?: Readonly<Record<string, Digest>>;
}

/** The bytes of the file; the same for the same declaration. That of an archive ends with its own digest. */
export function renderDeclaration({ omitted, files, elsewhere, base }: Declaration): Buffer {
  const entries = bareOmissions(omitted).map((descriptor) => JSON.stringify(descriptor));
  const head = [
    `{"version": ${VERSION}`,
    ...(files === undefined ? [] : [`"files": ${JSON.stringify(sorted(files))}`]),
    ...(base === undefined ? [] : [`"base": ${JSON.stringify(base)}`]),
    ...(elsewhere === undefined
      ? []
      : [`"elsewhere": ${elsewhere === null ? 'null' : JSON.stringify([...elsewhere].sort())}`]),
    `"omitted": [${entries.join(',\n')}]`,
  ].join(',\n');
  if (files === undefined) return Buffer.from(`${head}}\n`);
  return Buffer.from(`${head},\n"digest": "${digestOf(Buffer.from(head))}"}\n`);
}

/**
 * Reads the file, and where it says its own digest holds it against that.
 *
 * @throws {SpecError} INVALID_MANIFEST, INVALID_DIGEST, LIMIT_EXCEEDED; UNSUPPORTED for a later version
 */
export function parseDeclaration(bytes: Buffer): Declaration {
  const raw = objectOf(parseJson(bytes, DECLARATION_FILE, MAX_BYTES), DECLARATION_FILE);
  const version = raw['version'];
  if (typeof version !== 'number') throw invalid('has no version');
  if (version !== VERSION) {
    throw new SpecError('UNSUPPORTED', `${DECLARATION_FILE} has version ${version}, which is not known`, {
      hint: 'Use a newer landfall.',
    });
  }
  const list = raw['omitted'] ?? [];
  if (!Array.isArray(list)) throw invalid('has omitted parts in another form than a list');
  if (list.length > MAX_OMITTED) {
    throw new SpecError('LIMIT_EXCEEDED', `${DECLARATION_FILE} omits more than ${MAX_OMITTED} things`);
  }
  const omitted = list.map((value: unknown, at) => parseDescriptor(value, `omitted[${at}]`));
  const set = { elsewhere: elsewhereOf(raw['elsewhere']), base: baseOf(raw['base']) };
  if (raw['files'] === undefined) return { omitted, ...set };
  checkSeal(bytes);
  return { omitted, ...set, files: digestsOf(objectOf(raw['files'], 'files')) };
}

/** Whether images that belong to the set are known to be elsewhere, and not which: so in a delta of old. */
export function isPartUnknown({ elsewhere, omitted }: Declaration): boolean {
  return elsewhere === null || (elsewhere === undefined && omitted.some(isDelivered));
}

/** Annotation of what was delivered before: a repository that has it. */
const DELIVERED_IN = 'landfall.repository';

/** What was left out since it was delivered before, to such a repository: `docker.io/library/alpine`. */
export function deliveredIn(descriptor: Descriptor, repository: string): Descriptor {
  return { ...descriptor, annotations: { [DELIVERED_IN]: repository } };
}

/** By digest, the repositories that have what was delivered before. */
export function deliveries({ omitted }: Declaration): ReadonlyMap<Digest, string> {
  return new Map(
    omitted.flatMap(({ digest, annotations }): [Digest, string][] => {
      const repository = annotations?.[DELIVERED_IN];
      return repository === undefined ? [] : [[digest, repository]];
    }),
  );
}

/** Whether it was left out since it was delivered before, and not for its platform. */
export function isDelivered({ mediaType }: Descriptor): boolean {
  return !isManifestType(mediaType) && !isIndexType(mediaType);
}

function elsewhereOf(raw: unknown): DeclaredSet['elsewhere'] {
  if (raw === undefined || raw === null) return raw;
  if (!Array.isArray(raw)) throw invalid('names images elsewhere in another form than a list');
  if (raw.length > MAX_OMITTED) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `${DECLARATION_FILE} has more than ${MAX_OMITTED} images elsewhere`,
    );
  }
  return raw.map((name: unknown) => {
    if (typeof name === 'string') return name;
    throw invalid('has an image elsewhere without a name');
  });
}

function baseOf(raw: unknown): DeclaredSet['base'] {
  if (raw === undefined) return undefined;
  if (!Array.isArray(raw) || raw.length > LIMITS.listItems) throw invalid('names its base in another form');
  return raw.map((each: unknown) => {
    const { name, written } = objectOf(each, 'base');
    if (typeof name === 'string' && typeof written === 'string') return { name, written };
    throw invalid('has a base without name and date');
  });
}

/** What is declared, without what only the index says of it: each once, in order. */
export function bareOmissions(omitted: Iterable<Descriptor>): Descriptor[] {
  const bare = new Map<Digest, Descriptor>();
  for (const { mediaType, digest, size, platform, annotations } of omitted) {
    const repository = annotations?.[DELIVERED_IN];
    const descriptor = { mediaType, digest, size, ...(platform === undefined ? {} : { platform }) };
    bare.set(digest, repository === undefined ? descriptor : deliveredIn(descriptor, repository));
  }
  return [...bare.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

function checkSeal(bytes: Buffer): void {
  const said = SEAL.exec(bytes.toString('latin1', Math.max(0, bytes.length - SEAL_BYTES)))?.[1];
  if (said === undefined) throw invalid('does not end with its digest');
  if (said !== digestOf(bytes.subarray(0, bytes.length - SEAL_BYTES))) {
    throw invalid('has not the digest that it says');
  }
}

function digestsOf(raw: JsonObject): Record<string, Digest> {
  const entries = Object.entries(raw).map(([name, value]): [string, Digest] => {
    if (typeof value !== 'string') throw invalid('has a digest that is none');
    return [name, parseDigest(value)];
  });
  if (entries.length > LIMITS.listItems) throw invalid('has too many files');
  return Object.fromEntries(entries);
}

function objectOf(value: unknown, what: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(what === DECLARATION_FILE ? 'is no object' : `has ${what} that are no object`);
  }
  return value as JsonObject;
}

function sorted(files: Readonly<Record<string, Digest>>): Record<string, Digest> {
  return Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function invalid(fault: string): SpecError {
  return new SpecError('INVALID_MANIFEST', `${DECLARATION_FILE} ${fault}`, {
    hint: 'Copy the archive again from where it was written, or have it written anew.',
  });
}

/** A delta lacks what was delivered before it, and that was not loaded. */
export function needsBase(location: string, declaration: Declaration, digest: Digest): ContentError {
  const base = (declaration.base ?? []).map(({ name, written }) =>
    written === '' ? name : `${name} (written ${written})`,
  );
  const missing = `it lacks ${digest}, which was delivered before`;
  return new ContentError('BLOB_NOT_FOUND', `${location} is a delta: ${missing}`, {
    details: { digest, path: location, base: (declaration.base ?? []).map(({ name }) => name) },
    hint:
      base.length === 0
        ? 'Load the archives that were written before it first, in their order.'
        : `Load ${base.join(', then ')} first, then this one.`,
  });
}
