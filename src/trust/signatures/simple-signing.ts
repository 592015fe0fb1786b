import { createHash, type KeyObject, timingSafeEqual, verify } from 'node:crypto';
import type { TransparencyLogEntry } from '@sigstore/bundle';
import { isDigest, quoted } from '../../spec/index.js';
import { readPem } from '../policy/pem.js';
import {
  base64Of,
  exactFields,
  objectOf,
  parseSignatureJson,
  Refusal,
  type SentCertificates,
  type SignatureContent,
  type SignedClaim,
  type SignedMaterial,
  stringOf,
} from './signed-material.js';
import type { FoundSignature } from './find-signatures.js';

/*
 * cosign's signatures: a payload in a layer, all else in its annotations (cosign: SIGNATURE_SPEC.md).
 */

const SIGNATURE = 'dev.cosignproject.cosign/signature';
const CERTIFICATE = 'dev.sigstore.cosign/certificate';
const CHAIN = 'dev.sigstore.cosign/chain';
/** A log's promise; not what is called a bundle since. */
const PROMISE = 'dev.sigstore.cosign/bundle';
const PAYLOAD_TYPE = 'cosign container image signature';

export class SimpleSigning implements SignedMaterial {
  readonly overManifest = false;
  readonly logKinds: readonly string[] = ['hashedrekord'];
  readonly #payload: Buffer;
  readonly #annotations: Readonly<Record<string, string>>;

  constructor({ bytes, layer }: FoundSignature) {
    this.#payload = bytes;
    this.#annotations = layer.annotations ?? {};
  }

  content(): SignedBytes {
    const signature = this.#annotations[SIGNATURE];
    if (signature === undefined) throw new Refusal('it has a payload and no signature');
    return new SignedBytes(this.#payload, base64Of(signature, 'it'));
  }

  certificates(): SentCertificates | undefined {
    const leaf = this.#annotations[CERTIFICATE];
    if (leaf === undefined || leaf === '') return undefined;
    const [first, ...others] = certificatesOf(leaf, 'its certificate');
    if (first === undefined || others.length > 0) throw new Refusal('it has not exactly one certificate');
    const chain = this.#annotations[CHAIN] ?? '';
    return { leaf: first, chain: chain === '' ? [] : certificatesOf(chain, 'its chain of certificates') };
  }

  logEntries(): readonly TransparencyLogEntry[] {
    const promise = this.#annotations[PROMISE];
    return promise === undefined || promise === '' ? [] : [entryOf(promise)];
  }

  claims(): readonly SignedClaim[] {
    return [parsePayload(this.#payload)];
  }
}

/**
 * What a payload says. As strict as containers/image is: any other field than these would say something that
 * is not understood.
 *
 * @throws Refusal
 */
export function parsePayload(bytes: Uint8Array): SignedClaim {
  const payload = exactFields(
    parseSignatureJson(bytes, 'its payload'),
    ['critical', 'optional'],
    'its payload',
  );
  checkOptional(payload.optional);
  const critical = exactFields(payload.critical, ['type', 'image', 'identity'], 'what its payload says');
  const type = stringOf(critical.type, 'the type of its payload');
  if (type !== PAYLOAD_TYPE) throw new Refusal(`it is ${quoted(type)}, not a ${PAYLOAD_TYPE}`);
  const image = exactFields(critical.image, ['docker-manifest-digest'], 'the image of its payload');
  const identity = exactFields(critical.identity, ['docker-reference'], 'the identity of its payload');
  const digest = image['docker-manifest-digest'];
  if (!isDigest(digest)) throw new Refusal('its payload has no digest that is one');
  return { digest, identity: stringOf(identity['docker-reference'], 'the reference of its payload') };
}

/** Of what signers add as they like, two fields have a form that peers insist on. */
function checkOptional(value: unknown): void {
  if (value === null) return;
  const { creator, timestamp } = objectOf(value, 'what its payload adds');
  if (creator !== undefined && typeof creator !== 'string') {
    throw new Refusal('the creator in its payload is no string');
  }
  if (timestamp !== undefined && !Number.isInteger(timestamp)) {
    throw new Refusal('the timestamp in its payload is no whole number');
  }
}

/** A promise as an entry of a log, of which it says all but the proof. */
function entryOf(annotation: string): TransparencyLogEntry {
  const what = 'its promise of a transparency log';
  const promise = exactFields(
    parseSignatureJson(Buffer.from(annotation), what),
    ['SignedEntryTimestamp', 'Payload'],
    what,
  );
  const payload = exactFields(promise.Payload, ['body', 'integratedTime', 'logIndex', 'logID'], what);
  const body = base64Of(payload.body, `the body of ${what}`);
  const { kind, apiVersion } = objectOf(parseSignatureJson(body, `the body of ${what}`), what);
  const logId = stringOf(payload.logID, `the log of ${what}`);
  if (!/^(?:[0-9a-f]{2})+$/.test(logId)) throw new Refusal(`${what} names no log`);
  return {
    logIndex: wholeNumber(payload.logIndex, what),
    logId: { keyId: Buffer.from(logId, 'hex') },
    kindVersion: { kind: stringOf(kind, what), version: stringOf(apiVersion, what) },
    integratedTime: wholeNumber(payload.integratedTime, what),
    inclusionPromise: {
      signedEntryTimestamp: base64Of(promise.SignedEntryTimestamp, `the signature of ${what}`),
    },
    inclusionProof: undefined,
    canonicalizedBody: body,
  };
}

function wholeNumber(value: unknown, what: string): string {
  if (Number.isSafeInteger(value) && Number(value) >= 0) return String(value);
  throw new Refusal(`${what} has a number that is none`);
}

function certificatesOf(text: string, what: string): Buffer[] {
  const blocks = readPem(Buffer.from(text))?.blocks ?? [];
  if (blocks.length === 0 || blocks.some(({ label }) => label !== 'CERTIFICATE')) {
    throw new Refusal(`${what} cannot be read as PEM`);
  }
  return blocks.map(({ der }) => der);
}

/**
 * A signature over bytes as cosign makes it, whatever the curve: by ECDSA or RSA (PKCS #1 v1.5) with SHA-256,
 * or by Ed25519. The library has this only for bundles.
 */
class SignedBytes implements SignatureContent {
  readonly signature: Buffer;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, signature: Buffer) {
    this.#bytes = bytes;
    this.signature = signature;
  }

  compareSignature(signature: Buffer): boolean {
    return equal(signature, this.signature);
  }

  compareDigest(digest: Buffer): boolean {
    return equal(digest, createHash('sha256').update(this.#bytes).digest());
  }

  verifySignature(key: KeyObject): boolean {
    return verified(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', this.#bytes, key, this.signature);
  }
}

/**
 * The signature of a bundle. To what the library verifies it adds two ways in which others sign: ECDSA with
 * the digest that fits the curve, and Ed25519 over the bytes themselves.
 */
export class BundleSignature implements SignatureContent {
  readonly #ofLibrary: SignatureContent;
  readonly #bytes: Buffer;

  constructor(ofLibrary: SignatureContent, bytes: Buffer) {
    this.#ofLibrary = ofLibrary;
    this.#bytes = bytes;
  }

  get signature(): Buffer {
    return this.#ofLibrary.signature;
  }

  compareSignature(signature: Buffer): boolean {
    return this.#ofLibrary.compareSignature(signature);
  }

  compareDigest(digest: Buffer): boolean {
    return this.#ofLibrary.compareDigest(digest);
  }

  verifySignature(key: KeyObject): boolean {
    if (this.#ofLibrary.verifySignature(key)) return true;
    const algorithm = ownDigest(key);
    return algorithm !== undefined && verified(algorithm, this.#bytes, key, this.signature);
  }
}

/** The digest that a key is used with by nature; null for Ed25519, which has it within. */
function ownDigest({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | null | undefined {
  if (asymmetricKeyType === 'ed25519') return null;
  switch (asymmetricKeyDetails?.namedCurve) {
    case 'secp384r1':
      return 'sha384';
    case 'secp521r1':
      return 'sha512';
    default:
      return undefined;
  }
}

function verified(algorithm: string | null, bytes: Buffer, key: KeyObject, signature: Buffer): boolean {
  try {
    return verify(algorithm, bytes, key, signature);
  } catch {
    // As of a signature that is not even of the form that the key's kind has.
    return false;
  }
}

function equal(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
