import { SpecError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  digestOf,
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

export interface Declaration {
  /** Each digest once, in the order of the digests. */
  readonly omitted: readonly Descriptor[];
  /** By name, the digests of the archive's other files that are no blobs; absent in a layout. */
  readonly files?: Readonly<Record<string, Digest>>;
}

/** The bytes of the file; the same for the same declaration. That of an archive ends with its own digest. */
export function renderDeclaration({ omitted, files }: Declaration): Buffer {
  const entries = bareOmissions(omitted).map((descriptor) => JSON.stringify(descriptor));
  const head = [
    `{"version": ${VERSION}`,
    ...(files === undefined ? [] : [`"files": ${JSON.stringify(sorted(files))}`]),
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
  if (raw['files'] === undefined) return { omitted };
  checkSeal(bytes);
  return { omitted, files: digestsOf(objectOf(raw['files'], 'files')) };
}

/** What is declared, without what only the index says of it: each once, in order. */
export function bareOmissions(omitted: Iterable<Descriptor>): Descriptor[] {
  const bare = new Map<Digest, Descriptor>();
  for (const { mediaType, digest, size, platform } of omitted) {
    bare.set(digest, { mediaType, digest, size, ...(platform === undefined ? {} : { platform }) });
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
