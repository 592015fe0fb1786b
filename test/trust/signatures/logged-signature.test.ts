import type { SerializedBundle } from '@sigstore/bundle';
import { describe, expect, it } from 'vitest';

import { MANIFEST, SUBJECT, verdict, verdicts } from '../../support/checked-signature.js';
import { byKeys } from '../../support/signature-requirements.js';
import { messageBundle, statementBundle, transparencyEntry } from '../../support/signature-bundle.js';
import { signedBy, type SigningKey, signingKey } from '../../support/signing-keys.js';
import {
  BUNDLE_ANNOTATION,
  promiseAnnotation,
  type SimpleSignature,
  SIGNATURE_ANNOTATION,
  simplePayload,
  simpleSignature,
} from '../../support/simple-signing.js';
import {
  dsseEntry,
  hashedRekord,
  intotoEntry,
  type SignedThing,
  TransparencyLog,
} from '../../support/transparency-log.js';

const key = signingKey();
const other = signingKey();
const log = new TransparencyLog();
const requirement = byKeys([key], { rekor: [log] });
const name = 'quay.io/team/app';
const holds = expect.stringMatching(/^holds: key sha256:[0-9a-f]{16}$/) as string;
const NOT_IN_LOG = 'it is not in the transparency log of the policy';
const OTHER_SIGNER = 'its entry in the transparency log is for another key or certificate';
const OTHER_SIGNATURE = 'its entry in the transparency log is for another signature';

describe('a signature by a key that a log has to know', () => {
  it.each<[string, () => Promise<Parameters<typeof verdict>[1]>]>([
    ["cosign's", async () => ({ tagged: [await simpleSignature(SUBJECT, { key }, { logged: { log } })] })],
    [
      'an envelope',
      async () => ({ bundles: [await statementBundle(SUBJECT, { key }, { name, logged: { log } })] }),
    ],
    [
      'an envelope in its older form',
      async () => ({
        bundles: [await statementBundle(SUBJECT, { key }, { name, logged: { log }, entry: 'intoto' })],
      }),
    ],
    [
      'over the manifest',
      async () => ({ bundles: [await messageBundle(MANIFEST, { key }, { logged: { log } })] }),
    ],
  ])('holds: %s, by any of the keys and logs', async (_name, signed) => {
    const any = byKeys([other, key], {
      rekor: [new TransparencyLog(), log],
      identity: { type: 'matchDigest' },
    });
    expect(await verdict(any, await signed())).toEqual(holds);
  });

  it('does not hold without an entry', async () => {
    const signed = {
      tagged: [await simpleSignature(SUBJECT, { key })],
      bundles: [await statementBundle(SUBJECT, { key }, { name })],
    };
    const none = 'it has no entry in a transparency log';
    expect(await verdicts(requirement, signed)).toEqual([none, none]);
  });

  it('does not hold by the promise of another log', async () => {
    const logged = { log: new TransparencyLog() };
    const signed = {
      tagged: [await simpleSignature(SUBJECT, { key }, { logged })],
      bundles: [await statementBundle(SUBJECT, { key }, { logged, name })],
    };
    expect(await verdicts(requirement, signed)).toEqual([NOT_IN_LOG, NOT_IN_LOG]);
    const anyKey = byKeys([key, other], { rekor: [log] });
    expect(await verdicts(anyKey, signed)).toEqual([NOT_IN_LOG, NOT_IN_LOG]);
  });

  it('holds whatever is logged where the policy names no log', async () => {
    const signed = await simpleSignature(SUBJECT, { key }, { logged: { log: new TransparencyLog() } });
    const garbage = { ...signed, annotations: { ...signed.annotations, [BUNDLE_ANNOTATION]: '{' } };
    const bundle = await statementBundle(SUBJECT, { key }, { name, logged: { log: new TransparencyLog() } });
    expect(await verdicts(byKeys([key]), { tagged: [signed, garbage], bundles: [bundle] })).toEqual([
      holds,
      holds,
      holds,
    ]);
    expect(await verdict(requirement, { tagged: [garbage] })).toBe(
      'the promise of a transparency log is not JSON',
    );
  });
});

/** Entries that the log has really taken, only not of this. */
const ENTRIES: readonly (readonly [string, (right: SignedThing) => SignedThing, string])[] = [
  ['by another key', (right) => ({ ...right, signer: other.pem }), OTHER_SIGNER],
  ['of another signature', (right) => ({ ...right, signature: signedBy(key, MANIFEST) }), OTHER_SIGNATURE],
  ['of another payload', (right) => ({ ...right, payload: Buffer.from('?') }), OTHER_SIGNATURE],
];

describe('an entry of the right log', () => {
  it.each(ENTRIES)('does not stand for a signature of cosign: %s', async (_name, change, reason) => {
    const signed = await withEntry(hashedRekord(change(ofCosign(key))));
    expect(await verdict(requirement, { tagged: [signed] })).toBe(reason);
  });

  it.each(ENTRIES)('does not stand for an envelope: %s', async (_name, change, reason) => {
    for (const entryOf of [dsseEntry, intotoEntry]) {
      const bundle = await statementBundle(SUBJECT, { key }, { name, logged: { log } });
      const entry = entryOf(change(ofEnvelope(bundle)));
      expect(await verdict(requirement, { bundles: [await rewritten(bundle, entry)] })).toBe(reason);
    }
  });

  it.each(ENTRIES)('does not stand for a signature of the manifest: %s', async (_name, change, reason) => {
    const bundle = await messageBundle(MANIFEST, { key }, { logged: { log } });
    const signature = Buffer.from(bundle.messageSignature?.signature ?? '', 'base64');
    const entry = hashedRekord(change({ signature, payload: MANIFEST, signer: key.pem }));
    expect(await verdict(requirement, { bundles: [await rewritten(bundle, entry)] })).toBe(reason);
  });

  it.each<[string, object, string]>([
    ['of another kind', dsseEntry(ofCosign(key)), 'its entry in the transparency log is "dsse"'],
    [
      'that names no key',
      hashedRekord({ ...ofCosign(key), signer: 'nobody' }),
      'its entry in the transparency log names no key that can be read',
    ],
    [
      'that names two',
      hashedRekord({ ...ofCosign(key), signer: key.pem + other.pem }),
      'its entry in the transparency log names no key that can be read',
    ],
  ])('does not stand for a signature: %s', async (_name, entry, reason) => {
    expect(await verdict(requirement, { tagged: [await withEntry(entry)] })).toBe(reason);
  });
});

describe('a promise', () => {
  it.each<[string, (payload: Record<string, unknown>) => Record<string, unknown>]>([
    ['another time', (payload) => ({ ...payload, integratedTime: 1 })],
    ['another place in the log', (payload) => ({ ...payload, logIndex: 1 })],
    ['another log', (payload) => ({ ...payload, logID: '00'.repeat(32) })],
  ])('does not hold for %s than was signed', async (_name, change) => {
    const signed = await simpleSignature(SUBJECT, { key }, { logged: { log } });
    const forged = changed(signed, (promise) => ({ ...promise, Payload: change(promise.Payload) }));
    expect(await verdict(requirement, { tagged: [forged] })).toBe(NOT_IN_LOG);
  });

  it.each<[string, (promise: Promised) => unknown, RegExp]>([
    ['a field too many', (promise) => ({ ...promise, more: 1 }), /has the unknown field "more"/],
    ['no payload', ({ SignedEntryTimestamp }) => ({ SignedEntryTimestamp }), /has no "Payload"/],
    ['no signature', ({ Payload }) => ({ Payload, SignedEntryTimestamp: '' }), /is not base64/],
    ['no object', () => [], /is no JSON object/],
    [
      'a time of text',
      (promise) => ({ ...promise, Payload: { ...promise.Payload, integratedTime: '1' } }),
      /has a number that is none/,
    ],
    [
      'a log of no digits',
      (promise) => ({ ...promise, Payload: { ...promise.Payload, logID: 'log' } }),
      /names no log/,
    ],
    [
      'a body of no JSON',
      (promise) => ({ ...promise, Payload: { ...promise.Payload, body: 'AAAA' } }),
      /^the body of its promise of a transparency log is not JSON|is not/,
    ],
  ])('with %s is refused', async (_name, change, reason) => {
    const signed = await simpleSignature(SUBJECT, { key }, { logged: { log } });
    expect(await verdict(requirement, { tagged: [changed(signed, change)] })).toMatch(reason);
  });
});

describe('the entries of a bundle', () => {
  it.each<[string, (entry: LogEntry) => object, string]>([
    [
      'without a promise',
      (entry) => ({ ...entry, inclusionPromise: undefined }),
      'its entry in a transparency log is without a promise, which alone says when it was made',
    ],
    [
      'whose proof is of another tree',
      (entry) => ({ ...entry, inclusionProof: { ...entry.inclusionProof, logIndex: '1', treeSize: '2' } }),
      'its proof of the transparency log does not hold',
    ],
    [
      'whose checkpoint was changed',
      (entry) => withCheckpoint(entry, (text) => text.replace('\n1\n', '\n2\n')),
      'its proof of the transparency log does not hold',
    ],
    [
      'whose checkpoint is signed under a name that is a pattern',
      (entry) => withCheckpoint(entry, (text) => text.replace('— rekor.test', '— (a+)+$')),
      'its proof of a transparency log is signed under an invalid name',
    ],
    [
      'whose checkpoint has another signature under a pattern that is searched for without end',
      (entry) =>
        withCheckpoint(entry, (text) =>
          text.replace(/\u2014 rekor\.test (\S+)\n$/, `— ${'a'.repeat(60)}.b $1\n— (a+)+$ $1\n`),
        ),
      'its proof of a transparency log is signed under an invalid name',
    ],
    [
      'whose checkpoint many have signed',
      (entry) => withCheckpoint(entry, (text) => text + text.slice(text.indexOf('—')).repeat(16)),
      'its proof of a transparency log has no signature, or too many',
    ],
    [
      'whose checkpoint nobody has signed',
      (entry) => withCheckpoint(entry, (text) => text.slice(0, text.indexOf('—'))),
      'its proof of a transparency log has no signature, or too many',
    ],
  ])('do not hold %s', async (_name, change, reason) => {
    const bundle = await statementBundle(SUBJECT, { key }, { name, logged: { log } });
    const [entry] = bundle.verificationMaterial.tlogEntries as unknown as LogEntry[];
    if (entry === undefined) throw new Error('it has no entry');
    expect(await verdict(requirement, { bundles: [withEntries(bundle, [change(entry)])] })).toBe(reason);
  });

  it('hold where one of them does, and are not many', async () => {
    const bundle = await statementBundle(SUBJECT, { key }, { name, logged: { log } });
    const elsewhere = { log: new TransparencyLog() };
    const another = await statementBundle(SUBJECT, { key }, { name, logged: elsewhere });
    const wrong = another.verificationMaterial.tlogEntries;
    const right = bundle.verificationMaterial.tlogEntries;
    const both = withEntries(bundle, [...wrong, ...right]);
    const many = withEntries(bundle, [...Array.from({ length: 8 }, () => wrong).flat(), ...right]);
    expect(await verdicts(requirement, { bundles: [both, many] })).toEqual([
      holds,
      'it has more than 8 entries in logs',
    ]);
  });
});

interface Promised {
  SignedEntryTimestamp: string;
  Payload: Record<string, unknown>;
}
type LogEntry = Record<string, unknown> & {
  inclusionPromise: object;
  inclusionProof: Record<string, unknown> & { checkpoint: { envelope: string } };
};

function ofCosign(signer: SigningKey): SignedThing {
  const payload = simplePayload(SUBJECT);
  return { signature: FIXED, payload, signer: signer.pem };
}
const FIXED = signedBy(key, simplePayload(SUBJECT));

/** A right signature, with an entry that the log has taken. */
async function withEntry(entry: object): Promise<SimpleSignature> {
  return {
    payload: simplePayload(SUBJECT),
    annotations: {
      [SIGNATURE_ANNOTATION]: FIXED.toString('base64'),
      [BUNDLE_ANNOTATION]: promiseAnnotation(await log.log(entry)),
    },
  };
}

function ofEnvelope({ dsseEnvelope }: SerializedBundle): SignedThing {
  return {
    signature: Buffer.from(dsseEnvelope?.signatures[0]?.sig ?? '', 'base64'),
    payload: Buffer.from(dsseEnvelope?.payload ?? '', 'base64'),
    signer: key.pem,
  };
}

async function rewritten(bundle: SerializedBundle, entry: object): Promise<object> {
  return withEntries(bundle, [transparencyEntry(entry, await log.log(entry))]);
}

function withEntries(bundle: SerializedBundle, tlogEntries: readonly object[]): object {
  return { ...bundle, verificationMaterial: { ...bundle.verificationMaterial, tlogEntries } };
}

function withCheckpoint(entry: LogEntry, change: (text: string) => string): object {
  const { envelope } = entry.inclusionProof.checkpoint;
  return {
    ...entry,
    inclusionProof: { ...entry.inclusionProof, checkpoint: { envelope: change(envelope) } },
  };
}

function changed(signed: SimpleSignature, change: (promise: Promised) => unknown): SimpleSignature {
  const promise = JSON.parse(signed.annotations[BUNDLE_ANNOTATION] ?? '') as Promised;
  const annotations = { ...signed.annotations, [BUNDLE_ANNOTATION]: JSON.stringify(change(promise)) };
  return { ...signed, annotations };
}
