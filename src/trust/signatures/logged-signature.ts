import { createPublicKey, type KeyObject } from 'node:crypto';

import type { TransparencyLogEntry } from '@sigstore/bundle';
import { VerificationError, Verifier } from '@sigstore/verify';

import { quoted } from '../../spec/index.js';
import { readPem } from '../policy/pem.js';
import {
  base64Of,
  objectOf,
  parseSignatureJson,
  Refusal,
  type SignatureContent,
  type SignedMaterial,
} from './signed-material.js';

type TrustMaterial = ConstructorParameters<typeof Verifier>[0];

/** A signature has one entry, or one in each of a few logs. */
const MAX_ENTRIES = 8;

/**
 * Who is to have made a signature: a key, and what a log's entry names it by: the key itself in DER, or its
 * certificate.
 */
export interface ExpectedSigner {
  readonly key: KeyObject;
  readonly der: Buffer;
}

/**
 * Verifies that a signature was made by a key.
 *
 * @throws Refusal
 */
export function verifySignedBy(content: SignatureContent, key: KeyObject): void {
  verifyEntity(content, [], materialOf(key));
}

/**
 * Verifies that a signature was made by a key, and that a log of the policy has promised to record just that:
 * this signature of this content by this signer (rekor: Signed Entry Timestamp). A proof that it was recorded
 * need not be there; one that is there has to hold.
 *
 * @returns when that was, by each entry that says so; at least one
 * @throws Refusal
 */
export function verifyLogged(
  material: SignedMaterial,
  content: SignatureContent,
  signer: ExpectedSigner,
  rekorKeys: readonly KeyObject[],
): readonly Date[] {
  if (rekorKeys.length === 0) throw new Refusal('the policy names no transparency log');
  const entries = material.logEntries();
  if (entries.length === 0) throw new Refusal('it has no entry in a transparency log');
  if (entries.length > MAX_ENTRIES) throw new Refusal(`it has more than ${MAX_ENTRIES} entries in logs`);
  const times: Date[] = [];
  let why: unknown;
  for (const entry of entries) {
    try {
      times.push(verifyEntry(material, content, signer, { entry, rekorKeys }));
    } catch (error) {
      why = error;
    }
  }
  if (times.length === 0) throw why;
  return times;
}

function verifyEntry(
  { logKinds }: SignedMaterial,
  content: SignatureContent,
  { key, der }: ExpectedSigner,
  { entry, rekorKeys }: { entry: TransparencyLogEntry; rekorKeys: readonly KeyObject[] },
): Date {
  if (entry.inclusionPromise === undefined) {
    throw new Refusal(
      'its entry in a transparency log is without a promise, which alone says when it was made',
    );
  }
  const { kind } = entry.kindVersion;
  if (!logKinds.includes(kind)) throw new Refusal(`its entry in the transparency log is ${quoted(kind)}`);
  // The library holds the entry against signature and content; whose it says they are is left to us.
  if (!loggedSigner(entry).equals(der)) {
    throw new Refusal('its entry in the transparency log is for another key or certificate', 'other-signer');
  }
  let why: unknown;
  for (const rekorKey of rekorKeys) {
    try {
      verifyEntity(content, [entry], materialOf(key, { entry, rekorKey }));
      return new Date(Number(entry.integratedTime) * 1000);
    } catch (error) {
      why = error;
    }
  }
  throw why;
}

function verifyEntity(
  content: SignatureContent,
  tlogEntries: TransparencyLogEntry[],
  trust: TrustMaterial,
): void {
  const options = { tlogThreshold: tlogEntries.length, ctlogThreshold: 0, timestampThreshold: 0 };
  try {
    new Verifier(trust, options).verify({
      signature: content,
      key: { $case: 'public-key', hint: '' },
      tlogEntries,
      timestamps: [],
    });
  } catch (error) {
    throw refusalOf(error);
  }
}

/**
 * Just one key and at most one log, since the library takes the first log that an entry names and knows none
 * of the policy's.
 */
function materialOf(
  key: KeyObject,
  logged?: { readonly entry: TransparencyLogEntry; readonly rekorKey: KeyObject },
): TrustMaterial {
  const always = { start: new Date(0), end: new Date(8_640_000_000_000_000) };
  return {
    certificateAuthorities: [],
    timestampAuthorities: [],
    ctlogs: [],
    publicKey: () => ({ publicKey: key, validFor: () => true }),
    tlogs:
      logged === undefined
        ? []
        : [
            {
              // What a log calls itself is part of what it signs; a policy names its key only.
              logID: logged.entry.logId.keyId,
              baseURL: checkpointOrigin(logged.entry),
              publicKey: logged.rekorKey,
              validFor: always,
            },
          ],
  };
}

/** As the library finds them in a checkpoint. */
const CHECKPOINT_SIGNATURES = /\u2014 (\S+) \S+\n/g;
/** A log and its witnesses. */
const MAX_CHECKPOINT_SIGNATURES = 16;
/**
 * The library takes names for patterns: one may be nothing but a name, or it could be made to search without
 * end.
 */
const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9./_-]{0,252}$/;

/**
 * The name under which the log has signed its checkpoint: the library finds a log by it, and its key then
 * decides.
 */
function checkpointOrigin({ inclusionProof }: TransparencyLogEntry): string {
  if (inclusionProof === undefined) return '';
  const envelope = inclusionProof.checkpoint?.envelope ?? '';
  const names = [...envelope.matchAll(CHECKPOINT_SIGNATURES)].map(([, name = '']) => name);
  const [origin] = names;
  if (origin === undefined || names.length > MAX_CHECKPOINT_SIGNATURES) {
    throw new Refusal('its proof of a transparency log has no signature, or too many');
  }
  if (!names.every((name) => PLAIN_NAME.test(name))) {
    throw new Refusal('its proof of a transparency log is signed under an invalid name');
  }
  return origin;
}

/** The key or certificate, in DER, that an entry says the signature is by. */
function loggedSigner({ canonicalizedBody, kindVersion: { kind } }: TransparencyLogEntry): Buffer {
  const what = 'its entry in the transparency log';
  const { spec } = objectOf(parseSignatureJson(canonicalizedBody, what), what);
  const encoded = base64Of(signerField(kind, objectOf(spec, what), what), `the signer of ${what}`);
  const [block, other] = readPem(encoded)?.blocks ?? [];
  if (block === undefined || other !== undefined) throw new Refusal(`${what} names no key that can be read`);
  return block.label === 'PUBLIC KEY' || block.label === 'CERTIFICATE' ? block.der : derOf(encoded, what);
}

/** rekor: pkg/types/hashedrekord, dsse and intoto. */
function signerField(kind: string, spec: ReturnType<typeof objectOf>, what: string): unknown {
  switch (kind) {
    case 'hashedrekord':
      return objectOf(objectOf(spec['signature'], what)['publicKey'], what)['content'];
    case 'dsse':
      return objectOf(firstOf(spec['signatures']), what)['verifier'];
    case 'intoto': {
      const envelope = objectOf(objectOf(spec['content'], what)['envelope'], what);
      return objectOf(firstOf(envelope['signatures']), what)['publicKey'];
    }
    default:
      return undefined;
  }
}

function firstOf(value: unknown): unknown {
  return Array.isArray(value) && value.length === 1 ? (value as readonly unknown[])[0] : undefined;
}

/** Of a key in another form, as RSA keys have one. */
function derOf(pem: Buffer, what: string): Buffer {
  try {
    return createPublicKey(pem).export({ type: 'spki', format: 'der' });
  } catch (error) {
    throw new Refusal(`${what} names no key that can be read`, 'signer', error);
  }
}

function refusalOf(error: unknown): unknown {
  if (error instanceof Refusal) return error;
  if (!(error instanceof VerificationError)) {
    return new Refusal('it cannot be understood', 'signer', error);
  }
  switch (error.code) {
    case 'SIGNATURE_ERROR':
      return new Refusal('it was made by another key, or the signed content was changed', 'signer', error);
    case 'TLOG_INCLUSION_PROMISE_ERROR':
      return new Refusal('it is not in the transparency log of the policy', 'signer', error);
    case 'TLOG_INCLUSION_PROOF_ERROR':
      return new Refusal('its proof of the transparency log does not hold', 'signer', error);
    case 'TLOG_BODY_ERROR':
      return new Refusal('its entry in the transparency log is for another signature', 'signer', error);
    case 'TLOG_ERROR':
    case 'TLOG_MISSING_INCLUSION_ERROR':
      return new Refusal('it has no entry in a transparency log', 'signer', error);
    case 'NOT_IMPLEMENTED_ERROR':
    case 'CERTIFICATE_ERROR':
    case 'PUBLIC_KEY_ERROR':
    case 'TIMESTAMP_ERROR':
      return new Refusal(`it cannot be verified (${error.message})`, 'signer', error);
  }
}
