import { createHash, type Hash } from 'node:crypto';
import { SpecError } from '../errors.js';
import { LIMITS } from './limits.js';
import { quoted } from './quoted.js';

declare const brand: unique symbol;

/**
 * `algorithm:encoded`, well-formed (image-spec: Content Descriptors, Digests). Made by {@link parseDigest}
 * only.
 */
export type Digest = string & { readonly [brand]: 'Digest' };

/** The algorithms that this program computes: those that the specification registers and every peer has. */
export type VerifiableAlgorithm = 'sha256' | 'sha512';

const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;
const HEX_LENGTH: Readonly<Record<VerifiableAlgorithm, number>> = { sha256: 64, sha512: 128 };

/**
 * Parses a digest. sha256 and sha512 must be lower-case hex of their exact length; any other algorithm passes
 * if it is well-formed, and is refused only where it would have to be verified.
 *
 * @throws {SpecError} INVALID_DIGEST
 */
export function parseDigest(text: string): Digest {
  const fault = faultOf(text);
  if (fault !== undefined) {
    throw new SpecError('INVALID_DIGEST', `invalid digest ${quoted(text)}: ${fault}`, {
      hint: 'Write a digest as sha256: and 64 lower-case hexadecimal digits.',
    });
  }
  return text as Digest;
}

/** Whether {@link parseDigest} would take it. */
export function isDigest(text: unknown): text is Digest {
  return typeof text === 'string' && faultOf(text) === undefined;
}

function faultOf(text: string): string | undefined {
  if (text.length > LIMITS.digestLength) return `longer than ${LIMITS.digestLength} characters`;
  if (!GRAMMAR.test(text)) return 'not of the form algorithm:encoded';
  const [algorithm, encoded] = split(text);
  if (!isVerifiableAlgorithm(algorithm)) return undefined;
  const length = HEX_LENGTH[algorithm];
  if (encoded.length !== length)
    return `${algorithm} has ${length} hexadecimal digits, not ${encoded.length}`;
  if (!/^[0-9a-f]+$/.test(encoded)) return `${algorithm} is written in lower-case hexadecimal digits`;
  return undefined;
}

function split(text: string): [algorithm: string, encoded: string] {
  const colon = text.indexOf(':');
  return [text.slice(0, colon), text.slice(colon + 1)];
}

function isVerifiableAlgorithm(algorithm: string): algorithm is VerifiableAlgorithm {
  return Object.hasOwn(HEX_LENGTH, algorithm);
}

/** `sha256` of `sha256:…`. */
export function algorithmOf(digest: Digest): string {
  return split(digest)[0];
}

/** What follows the colon. */
export function encodedOf(digest: Digest): string {
  return split(digest)[1];
}

/** The first digits after the colon, for people; never for look-ups. */
export function shortDigest(digest: Digest, length = 12): string {
  return encodedOf(digest).slice(0, length);
}

/** Whether this program can compute the algorithm. */
export function isVerifiable(digest: Digest): boolean {
  return isVerifiableAlgorithm(algorithmOf(digest));
}

/** Computes a digest over chunks. {@link Digester.digest} may be called once and ends it. */
export class Digester {
  readonly #algorithm: VerifiableAlgorithm;
  readonly #hash: Hash;

  constructor(algorithm: VerifiableAlgorithm) {
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  /** Takes the next bytes. */
  update(chunk: Uint8Array): this {
    this.#hash.update(chunk);
    return this;
  }

  /** Of all bytes that were taken. To be called once. */
  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.digest('hex')}` as Digest;
  }
}

/**
 * A digester for the algorithm of a digest that is to be verified.
 *
 * @throws {SpecError} INVALID_DIGEST for an algorithm that cannot be verified
 */
export function createDigester(of: Digest | VerifiableAlgorithm): Digester {
  const algorithm = of.includes(':') ? split(of)[0] : of;
  if (!isVerifiableAlgorithm(algorithm)) {
    throw new SpecError('INVALID_DIGEST', `content with a ${quoted(algorithm)} digest cannot be verified`, {
      hint: 'Ask for this content by its sha256 or sha512 digest.',
    });
  }
  return new Digester(algorithm);
}

/** The digest of bytes that are all at hand. */
export function digestOf(bytes: Uint8Array, algorithm: VerifiableAlgorithm = 'sha256'): Digest {
  return new Digester(algorithm).update(bytes).digest();
}

/**
 * The chainId of each layer, bottom first (image-spec: config.md, Layer ChainID): the first is the diffId
 * itself, every next one the sha256 of the chainId below, a space, and the layer's diffId.
 */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  let below: Digest | undefined;
  for (const diffId of diffIds) {
    below = below === undefined ? diffId : digestOf(Buffer.from(`${below} ${diffId}`, 'latin1'));
    chain.push(below);
  }
  return chain;
}
