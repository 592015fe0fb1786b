import { type ErrorCode, isLandfallError } from '../../errors.js';
import type { Descriptor, Digest } from '../../spec/index.js';

/**
 * - `missing`: it is not there, and nobody said that it was left out;
 * - `damaged`: it has other bytes than its digest says, or than its config does;
 * - `malformed`: it has its digest, and is not what its type says;
 * - `unreadable`: nothing can be said of it, since reading it failed.
 */
export type VerifyFaultKind = 'missing' | 'damaged' | 'malformed' | 'unreadable';

/** Something that is not there, or not what it should be. */
export interface VerifyFault {
  /** The sort of fault. */
  readonly kind: VerifyFaultKind;
  /** Of the error that tells the reason. */
  readonly code: ErrorCode;
  /** For people. */
  readonly message: string;
  /** What it is about; absent where that has no digest. */
  readonly descriptor: Descriptor | undefined;
  /** The images that need it, by their names. */
  readonly images: readonly string[];
}

const KINDS: Readonly<Partial<Record<ErrorCode, VerifyFaultKind>>> = {
  BLOB_NOT_FOUND: 'missing',
  NOT_FOUND: 'missing',
  DIGEST_MISMATCH: 'damaged',
  SIZE_MISMATCH: 'damaged',
  DIFF_ID_MISMATCH: 'damaged',
  STORE_CORRUPT: 'damaged',
  BAD_ARCHIVE: 'malformed',
  INVALID_MANIFEST: 'malformed',
  INVALID_DIGEST: 'malformed',
  UNSUPPORTED_MEDIA_TYPE: 'malformed',
  LIMIT_EXCEEDED: 'malformed',
};

/** What an error says of what was read; an unexpected error is thrown on. */
export function faultOf(error: unknown, descriptor: Descriptor | undefined): VerifyFault {
  if (!isLandfallError(error)) throw error;
  const { code, message } = error;
  return { kind: KINDS[code] ?? 'unreadable', code, message, descriptor, images: [] };
}

/** Who names what, so that of a fault can be said which images have it. */
export class VerifyGraph {
  readonly #parents = new Map<Digest, Set<Digest>>();
  readonly #names = new Map<Digest, Set<string>>();
  readonly #faults: VerifyFault[] = [];
  readonly #faulty = new Set<Digest>();

  addRoot(name: string, digest: Digest): void {
    addTo(this.#names, digest, name);
  }

  addChild(parent: Digest, child: Digest): void {
    addTo(this.#parents, child, parent);
  }

  addFault(fault: VerifyFault): void {
    const digest = fault.descriptor?.digest;
    if (digest !== undefined) this.#faulty.add(digest);
    // Two images may tell of the same.
    const isKnown = this.#faults.some(
      (known) => known.descriptor?.digest === digest && known.message === fault.message,
    );
    if (!isKnown) this.#faults.push(fault);
  }

  isFaulty(digest: Digest): boolean {
    return this.#faulty.has(digest);
  }

  /** In the order of their digests, each with the images that need it. */
  faults(): VerifyFault[] {
    return this.#faults
      .map((fault) => ({ ...fault, images: this.#imagesOf(fault.descriptor?.digest) }))
      .sort((a, b) => ((a.descriptor?.digest ?? '') < (b.descriptor?.digest ?? '') ? -1 : 1));
  }

  #imagesOf(digest: Digest | undefined): string[] {
    const names = new Set<string>();
    const seen = new Set<Digest>();
    const waiting = digest === undefined ? [] : [digest];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (seen.has(next)) continue;
      seen.add(next);
      for (const name of this.#names.get(next) ?? []) names.add(name);
      waiting.push(...(this.#parents.get(next) ?? []));
    }
    return [...names].sort();
  }
}

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, new Set([value]));
  else known.add(value);
}
