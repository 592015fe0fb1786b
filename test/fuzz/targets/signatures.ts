import { dsse } from '@sigstore/core';

import { digestOf } from '../../../src/spec/index.js';
import type { FoundSignature, SignatureRequirement } from '../../../src/trust/index.js';
import { checkSignature } from '../../../src/trust/signatures/check-signature.js';
import { pemOf } from '../../support/der.js';
import { byFulcio, byKeys, byPki, imageAt } from '../../support/signature-requirements.js';
import { BUNDLE_TYPE, statement, transparencyEntry } from '../../support/signature-bundle.js';
import { SigningAuthority } from '../../support/signing-authority.js';
import { fixedSigningKey, signedBy } from '../../support/signing-keys.js';
import {
  BUNDLE_ANNOTATION,
  CERTIFICATE_ANNOTATION,
  CHAIN_ANNOTATION,
  promiseAnnotation,
  SIGNATURE_ANNOTATION,
  simplePayload,
  SIMPLE_SIGNING,
} from '../../support/simple-signing.js';
import { dsseEntry, hashedRekord, type LoggedEntry } from '../../support/transparency-log.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { mutateBytes } from '../mutate-archive.js';
import type { Random } from '../random.js';
import { checkPrintable, Violation } from '../violation.js';

const MANIFEST = Buffer.from('{"schemaVersion":2}');
const SUBJECT = digestOf(MANIFEST);
const VALID = { notBefore: new Date('2020-01-01T00:00:00Z'), notAfter: new Date('2040-01-01T00:00:00Z') };

/**
 * Signatures that are right by the keys of somebody whom no policy here trusts; the same bytes in each
 * process.
 */
const STRANGER = new SigningAuthority({ ...VALID, key: fixedSigningKey(1), serial: 1 });
const BETWEEN = STRANGER.intermediate({ ...VALID, key: fixedSigningKey(2), serial: 2 });
const LEAF = BETWEEN.issue({
  ...VALID,
  key: fixedSigningKey(3),
  serial: 3,
  email: 'ci@example.com',
  oidcIssuer: 'https://issuer.example',
});

/** One of each kind, and none is met by anything that the seeds are made of. */
const TRUSTED = new SigningAuthority();
const LOG = { key: fixedSigningKey(4) };
const REQUIREMENTS: readonly SignatureRequirement[] = [
  byKeys([TRUSTED.key], { identity: { type: 'matchDigest' } }),
  byKeys([TRUSTED.key, LEAF.key], { rekor: [LOG] }),
  byFulcio([TRUSTED], { rekor: [LOG] }),
  byPki([TRUSTED], { email: 'ci@example.com', intermediates: [BETWEEN] }),
];

/** Signatures and what comes with them: whatever they say is a refusal, in words that can be printed. */
export const signaturesTarget: FuzzTarget = {
  name: 'signatures',
  weight: 6,
  isPure: true,
  generate: (random) => {
    const bundle = random.chance(0.5);
    const [bytes, annotations] = bundle ? [BUNDLE, {}] : [simplePayload(SUBJECT), ANNOTATIONS];
    const changed = mapStrings(random.chance(0.8) ? annotations : {}, random);
    return {
      layers: [
        Buffer.from(bundle ? BUNDLE_TYPE : SIMPLE_SIGNING),
        random.chance(bundle ? 0.9 : 0.2) ? mutated(bytes, random) : bytes,
        Buffer.from(JSON.stringify(changed)),
      ],
    };
  },
  check: async ({ layers: [type, bytes = Buffer.alloc(0), annotations] }) => {
    const signature = signatureOf(String(type), bytes, String(annotations));
    for (const requirement of REQUIREMENTS) {
      const verdict = await checkSignature(signature, requirement, {
        image: imageAt(),
        bytesOf: () => Promise.resolve(MANIFEST),
      }).catch((error: unknown) => {
        throw new Violation('crash', `a signature was not refused but threw: ${String(error)}`, error);
      });
      if (verdict.holds) throw new Violation('wrong', `it holds by ${verdict.signedBy}`);
      checkPrintable(verdict.reason);
    }
  },
};

function signatureOf(type: string, bytes: Buffer, annotations: string): FoundSignature {
  const descriptor = { mediaType: type, digest: digestOf(bytes), size: bytes.length };
  return {
    manifest: { subject: SUBJECT, descriptor, tag: undefined, blobs: new Map() },
    format: type === BUNDLE_TYPE ? 'bundle' : 'simple-signing',
    layer: { ...descriptor, annotations: JSON.parse(annotations) as Record<string, string> },
    bytes,
  };
}

/** Bytes, or what stands in base64 in them, a little different. */
function mutated(bytes: Buffer, random: Random): Buffer {
  if (random.chance(0.3)) return mutateBytes(bytes, random);
  const text = bytes.toString('utf8');
  const encoded = [...text.matchAll(/(?<=")[A-Za-z0-9+/]{8,}={0,2}(?=")/g)];
  if (encoded.length === 0) return mutateBytes(bytes, random);
  const { 0: old, index } = random.pick(encoded);
  const changed = mutated(Buffer.from(old, 'base64'), random).toString('base64');
  return Buffer.from(text.slice(0, index) + changed + text.slice(index + old.length));
}

function mapStrings(values: Readonly<Record<string, string>>, random: Random): Record<string, string> {
  const entries = Object.entries(values).filter(() => !random.chance(0.1));
  return Object.fromEntries(
    entries.map(([key, value]) => [key, random.chance(0.4) ? mutatedText(value, random) : value]),
  );
}

/** A certificate is changed in what it says rather than in how that is written. */
function mutatedText(text: string, random: Random): string {
  const [, label, body = ''] = /-----BEGIN ([A-Z ]+)-----([^-]+)-----END/.exec(text) ?? [];
  if (label !== undefined && random.chance(0.8)) {
    return pemOf(label, mutateBytes(Buffer.from(body, 'base64'), random));
  }
  return mutated(Buffer.from(text), random).toString('utf8');
}

/** What a log would say, which nobody has signed. */
function logged(entry: object): LoggedEntry {
  const signature = Buffer.alloc(70).toString('base64');
  return {
    body: Buffer.from(JSON.stringify(entry)).toString('base64'),
    integratedTime: 1_700_000_000,
    logIndex: 1,
    logID: '00'.repeat(32),
    verification: {
      signedEntryTimestamp: signature,
      inclusionProof: {
        logIndex: 0,
        treeSize: 1,
        rootHash: '00',
        hashes: [],
        checkpoint: `log\n1\nAA==\n\n— log ${signature}\n`,
      },
    },
  };
}

const SIGNATURE = signedBy(LEAF.key, simplePayload(SUBJECT));
const ANNOTATIONS: Readonly<Record<string, string>> = {
  [SIGNATURE_ANNOTATION]: SIGNATURE.toString('base64'),
  [CERTIFICATE_ANNOTATION]: LEAF.pem,
  [CHAIN_ANNOTATION]: LEAF.chain.map(({ raw }) => pemOf('CERTIFICATE', raw)).join(''),
  [BUNDLE_ANNOTATION]: promiseAnnotation(
    logged(hashedRekord({ signature: SIGNATURE, payload: simplePayload(SUBJECT), signer: LEAF.pem })),
  ),
};
const BUNDLE = bundleOf();

function bundleOf(): Buffer {
  const payload = statement(SUBJECT, { name: 'quay.io/team/app' });
  const payloadType = 'application/vnd.in-toto+json';
  const signature = signedBy(LEAF.key, dsse.preAuthEncoding(payloadType, payload));
  const entry = dsseEntry({ signature, payload, signer: LEAF.pem });
  const certificates = [LEAF.certificate, ...LEAF.chain].map(({ raw }) => ({
    rawBytes: raw.toString('base64'),
  }));
  return Buffer.from(
    JSON.stringify({
      mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.1',
      verificationMaterial: {
        x509CertificateChain: { certificates },
        tlogEntries: [transparencyEntry(entry, logged(entry))],
      },
      dsseEnvelope: {
        payload: payload.toString('base64'),
        payloadType,
        signatures: [{ sig: signature.toString('base64'), keyid: '' }],
      },
    }),
  );
}
