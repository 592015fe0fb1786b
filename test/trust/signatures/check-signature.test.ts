import { describe, expect, it } from 'vitest';

import { digestOf } from '../../../src/spec/index.js';
import { MANIFEST, SUBJECT, verdict, verdicts } from '../../support/checked-signature.js';
import { byKeys, imageAt } from '../../support/signature-requirements.js';
import { messageBundle, statementBundle } from '../../support/signature-bundle.js';
import { signedBy, signingKey, SIGNING_ALGORITHMS } from '../../support/signing-keys.js';
import { SIGNATURE_ANNOTATION, simplePayload, simpleSignature } from '../../support/simple-signing.js';

const key = signingKey();
const other = signingKey();
const OTHER_DIGEST = digestOf(Buffer.from('another manifest'));
const holds = expect.stringMatching(/^holds: key sha256:[0-9a-f]{16}$/) as string;

describe('a signature by a key', () => {
  it.each(SIGNING_ALGORITHMS)('holds with %s, in both formats', async (algorithm) => {
    const signer = { key: signingKey(algorithm) };
    const signed = {
      tagged: [await simpleSignature(SUBJECT, signer)],
      bundles: [
        await statementBundle(SUBJECT, signer, { name: 'quay.io/team/app' }),
        await messageBundle(MANIFEST, signer),
      ],
    };
    const requirement = byKeys([signer.key], { identity: { type: 'matchDigest' } });
    expect(await verdicts(requirement, signed)).toEqual([holds, holds, holds]);
  });

  it('holds by the second of two keys', async () => {
    const signed = { tagged: [await simpleSignature(SUBJECT, { key })] };
    expect(await verdict(byKeys([other, key]), signed)).toBe(`holds: key ${key.fingerprint.slice(0, 23)}`);
  });

  it.each<[string, Parameters<typeof simpleSignature>, string | RegExp]>([
    ['by another key', [SUBJECT, { key: other }], /^it was made by another key than sha256:[0-9a-f]+, or/],
    ['for another digest', [OTHER_DIGEST, { key }], `it is for ${OTHER_DIGEST}`],
    [
      'for another repository',
      [SUBJECT, { key }, { identity: 'quay.io/other/app' }],
      'it is for quay.io/other/app, not for quay.io/team/app',
    ],
    [
      'over another payload',
      [SUBJECT, { key }, { signed: simplePayload(OTHER_DIGEST) }],
      /^it was made by another key than .*, or the signed content was changed$/,
    ],
  ])('does not hold %s', async (_name, [subject, signer, options], reason) => {
    const signed = { tagged: [await simpleSignature(subject, signer, options)] };
    const said = await verdict(byKeys([key]), signed);
    if (typeof reason === 'string') expect(said).toBe(reason);
    else expect(said).toMatch(reason);
  });

  it.each<[string, string | undefined, string | RegExp]>([
    ['changed', signedBy(other, Buffer.from('?')).toString('base64'), /^it was made by another key/],
    ['cut', signedBy(key, simplePayload(SUBJECT)).subarray(1).toString('base64'), /^it was made by another/],
    ['not base64', '*not base64*', 'it is not base64'],
    ['without padding', 'MEQ', 'it is not base64'],
    ['empty', '', 'it is not base64'],
    ['left out', undefined, 'it has a payload and no signature'],
  ])('does not hold with the signature %s', async (_name, signature, reason) => {
    const annotations = signature === undefined ? {} : { [SIGNATURE_ANNOTATION]: signature };
    const said = await verdict(byKeys([key]), { tagged: [{ payload: simplePayload(SUBJECT), annotations }] });
    expect(said).toMatch(reason);
  });

  it('says which name a signature lacks, with the tag', async () => {
    const signed = { tagged: [await simpleSignature(SUBJECT, { key })] };
    const requirement = byKeys([key], { identity: { type: 'matchRepoDigestOrExact' } });
    expect(await verdict(requirement, signed)).toMatch(/^it is for quay\.io\/team\/app without a tag/);
    expect(await verdict(requirement, signed, imageAt('quay.io/team/app:2'))).toMatch(/without a tag/);
  });

  it('hides no right one behind others', async () => {
    const bad = { payload: Buffer.from('{'), annotations: { [SIGNATURE_ANNOTATION]: 'AAAA' } };
    const signed = {
      tagged: [bad, await simpleSignature(SUBJECT, { key: other }), await simpleSignature(SUBJECT, { key })],
      bundles: [
        Buffer.from('not JSON'),
        await statementBundle(SUBJECT, { key }, { name: 'quay.io/team/app' }),
      ],
    };
    const all = await verdicts(byKeys([key]), signed);
    expect(all.map((one) => one.startsWith('holds'))).toEqual([false, false, true, false, true]);
  });

  it('takes a payload that names the same bytes by another algorithm', async () => {
    const sha512 = digestOf(MANIFEST, 'sha512');
    const signed = { tagged: [await simpleSignature(sha512, { key })] };
    expect(await verdict(byKeys([key]), signed)).toEqual(holds);
    const wrong = digestOf(Buffer.from('?'), 'sha512');
    const forged = { tagged: [await simpleSignature(wrong, { key })] };
    expect(await verdict(byKeys([key]), forged)).toBe(`it is for ${wrong}`);
  });
});
