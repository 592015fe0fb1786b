import { SpecError } from '../../errors.js';
import { type Digest, LIMITS, parseJson } from '../../spec/index.js';
import { readDigest, readObject, requiredSize, requiredString } from '../../spec/json-fields.js';

/** One file of an archive that was split. */
export interface ArchivePart {
  /** Of the file, which lies beside the manifest. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly digest: Digest;
}

/** `FILE.parts.json`: of what files an archive consists, in order. */
export interface PartsManifest {
  /** Of the whole, in bytes. */
  readonly size: number;
  readonly digest: Digest;
  readonly parts: readonly ArchivePart[];
}

export const PARTS_SUFFIX = '.parts.json';
const VERSION = 1;
export const PARTS_MANIFEST_MAX_BYTES: number = 16 * 1024 * 1024;
const MAX_PARTS = 100_000;

/** `FILE.000`, `FILE.001`, … */
export function partName(file: string, at: number): string {
  return `${file}.${String(at).padStart(3, '0')}`;
}

/** Whether a file is called as a part of an archive is. */
export function isPartOf(file: string, name: string): boolean {
  return name.startsWith(`${file}.`) && /^\d{3,}$/.test(name.slice(file.length + 1));
}

export function renderPartsManifest({ size, digest, parts }: PartsManifest): string {
  return `${JSON.stringify({ version: VERSION, size, digest, parts }, null, 2)}\n`;
}

/** @throws {SpecError} INVALID_MANIFEST, INVALID_DIGEST, LIMIT_EXCEEDED; UNSUPPORTED for a later version */
export function parsePartsManifest(bytes: Uint8Array): PartsManifest {
  const raw = readObject(parseJson(bytes, 'list of parts', PARTS_MANIFEST_MAX_BYTES), '');
  if (raw['version'] !== VERSION) {
    throw new SpecError('UNSUPPORTED', 'the list of parts has a version that is not known', {
      hint: 'Use a newer landfall.',
    });
  }
  const list = raw['parts'];
  if (!Array.isArray(list) || list.length === 0) throw invalid('names no parts');
  if (list.length > MAX_PARTS) {
    throw new SpecError('LIMIT_EXCEEDED', `the list of parts has more than ${MAX_PARTS}`, {
      details: { actual: list.length, limit: MAX_PARTS },
    });
  }
  const parts = list.map(readPart);
  const size = requiredSize(raw, 'size', '');
  if (parts.reduce((sum, part) => sum + part.size, 0) !== size)
    throw invalid('has another size than its parts');
  return { size, digest: readDigest(raw['digest'], 'digest'), parts };
}

function readPart(value: unknown, at: number): ArchivePart {
  const where = `parts[${at}]`;
  const raw = readObject(value, where);
  const name = requiredString(raw, 'name', where);
  // A list that somebody else made must not lead to other files.
  if (name.includes('/') || name.includes('\0') || name === '..' || name.length > LIMITS.nameBytes) {
    throw invalid(`has a part that is no file beside it: ${JSON.stringify(name)}`);
  }
  return {
    name,
    size: requiredSize(raw, 'size', where),
    digest: readDigest(raw['digest'], `${where}.digest`),
  };
}

function invalid(fault: string): SpecError {
  return new SpecError('INVALID_MANIFEST', `the list of parts ${fault}`, {
    hint: 'Copy it again from where the archive was written.',
  });
}
