import { describe, expect, it } from 'vitest';

import { MANIFEST, SUBJECT, verdict, verdicts } from '../../support/checked-signature.js';
import { der, octets, pemOf, sequence, utf8 } from '../../support/der.js';
import { byFulcio, byPki } from '../../support/signature-requirements.js';
import { messageBundle, statementBundle } from '../../support/signature-bundle.js';
import {
  type LeafOptions,
  SERVER_AUTH,
  SigningAuthority,
  type SigningLeaf,
} from '../../support/signing-authority.js';
import { signedBy, SIGNING_ALGORITHMS, signingKey } from '../../support/signing-keys.js';
import {
  BUNDLE_ANNOTATION,
  CERTIFICATE_ANNOTATION,
  CHAIN_ANNOTATION,
  promiseAnnotation,
  SIGNATURE_ANNOTATION,
  simplePayload,
  simpleSignature,
} from '../../support/simple-signing.js';
import { hashedRekord, TransparencyLog } from '../../support/transparency-log.js';

const root = new SigningAuthority();
const signing = root.intermediate();
const log = new TransparencyLog();
const EMAIL = 'ci@example.com';
const ISSUER = 'https://issuer.example';
const RIGHT: LeafOptions = { email: EMAIL, oidcIssuer: ISSUER };
const name = 'quay.io/team/app';
const HELD = `holds: ${EMAIL} (${ISSUER})`;
const OTHER_AUTHORITY = "its certificate is of another authority than the policy's";
const HOUR = 3_600_000;
const ago = (hours: number): Date => new Date(Math.floor(Date.now() / 1000) * 1000 - hours * HOUR);

/** What a policy that trusts the root says of a certificate's signature. */
async function byCertificate(
  leaf: SigningLeaf,
  options: Parameters<typeof simpleSignature>[2] = {},
): Promise<string> {
  const signed = await simpleSignature(SUBJECT, { leaf }, { logged: { log }, ...options });
  return await verdict(byFulcio([root], { rekor: [log] }), { tagged: [signed] });
}

describe('a certificate of Fulcio', () => {
  it.each(SIGNING_ALGORITHMS)('holds with %s, in both formats', async (algorithm) => {
    const leaf = signing.issue({ ...RIGHT, key: signingKey(algorithm) });
    const logged = { log };
    const signed = {
      tagged: [await simpleSignature(SUBJECT, { leaf }, { logged })],
      bundles: [
        await statementBundle(SUBJECT, { leaf }, { name, logged, version: '0.1' }),
        await statementBundle(SUBJECT, { leaf }, { name, logged, version: '0.2', entry: 'intoto' }),
        await messageBundle(MANIFEST, { leaf }, { logged, version: '0.2' }),
      ],
    };
    const requirement = byFulcio([root], { rekor: [log], identity: { type: 'matchDigest' } });
    expect(await verdicts(requirement, signed)).toEqual([HELD, HELD, HELD, HELD]);
  });

  it('holds in a bundle without a chain where the policy has what is between', async () => {
    const leaf = signing.issue(RIGHT);
    const bundles = [await statementBundle(SUBJECT, { leaf }, { name, logged: { log } })];
    expect(await verdict(byFulcio([root, signing], { rekor: [log] }), { bundles })).toBe(HELD);
    expect(await verdict(byFulcio([signing], { rekor: [log] }), { bundles })).toBe(HELD);
    expect(await verdict(byFulcio([root], { rekor: [log] }), { bundles })).toBe(OTHER_AUTHORITY);
  });

  it('holds at the time of the log, however long ago that was', async () => {
    const leaf = signing.issue({ ...RIGHT, notBefore: ago(1), notAfter: ago(0.5) });
    expect(await byCertificate(leaf, { logged: { log, time: ago(0.75) } })).toBe(HELD);
  });

  it.each<[string, Partial<LeafOptions>]>([
    ['several addresses', { emails: ['a@example.com', EMAIL] }],
    ['the old form of the issuer only', { oidcIssuer: undefined, oidcIssuerV1: ISSUER }],
    ['the new form only', { oidcIssuer: undefined, oidcIssuerV2: ISSUER }],
    ['no extended key usage', { purposes: [] }],
    ['any purpose', { purposes: [SERVER_AUTH, '2.5.29.37.0'] }],
    [
      'timestamps of certificate logs',
      { extensions: [['1.3.6.1.4.1.11129.2.4.2', octets(Buffer.from('0000', 'hex'))]] },
    ],
  ])('holds with %s', async (_name, options) => {
    expect(await byCertificate(signing.issue({ ...RIGHT, ...options }))).toBe(HELD);
  });

  it.each<[string, Partial<LeafOptions>, string | RegExp]>([
    [
      'for somebody else',
      { email: 'other@example.com' },
      'its certificate is for "other@example.com", not for ci@example.com',
    ],
    ['for nobody', { emails: [] }, 'its certificate is for no e-mail address, not for ci@example.com'],
    [
      'for an address in other letters',
      { email: 'CI@example.com' },
      /^its certificate is for "CI@example.com"/,
    ],
    ['for a host of that name', { emails: [], hosts: [EMAIL] }, /^its certificate is for no e-mail address/],
    [
      'on the word of another issuer',
      { oidcIssuer: 'https://other.example' },
      'its certificate was given on the word of "https://other.example", not of https://issuer.example',
    ],
    [
      'on the word of two issuers that differ',
      { oidcIssuerV2: 'https://other.example' },
      'its certificate names two issuers of its identity that differ',
    ],
    [
      'on the word of two issuers the other way round',
      { oidcIssuerV1: 'https://other.example' },
      'its certificate names two issuers of its identity that differ',
    ],
    [
      'with something behind the issuer',
      {
        oidcIssuer: undefined,
        oidcIssuerV1: ISSUER,
        extensions: [['1.3.6.1.4.1.57264.1.8', Buffer.concat([utf8(ISSUER), utf8('?')])]],
      },
      /in a form that is not understood$/,
    ],
    ['for servers', { purposes: [SERVER_AUTH] }, 'its certificate is not for signing code'],
    [
      'with an extension that is critical and unknown',
      { extensions: [['1.2.3.4', octets(Buffer.alloc(1)), true]] },
      'its certificate has the critical extension 1.2.3.4, which is not understood',
    ],
    [
      'with an extension twice',
      { extensions: [['2.5.29.17', sequence(der(0x81, Buffer.from('a@example.com')))]] },
      'its certificate has the extension 2.5.29.17 twice',
    ],
    [
      'that had expired',
      { notBefore: ago(3), notAfter: ago(2) },
      /^its certificate expired 20\d\d-.*Z, and it was logged 20\d\d-.*Z$/,
    ],
    ['that was not valid yet', { notBefore: ago(-0.5) }, /^its certificate is valid only from /],
  ])('does not hold %s', async (_name, options, reason) => {
    const leaf = signing.issue({ ...RIGHT, ...options });
    expect(await byCertificate(leaf)).toEqual(
      typeof reason === 'string' ? reason : (expect.stringMatching(reason) as string),
    );
  });

  it('does not hold without its issuer', async () => {
    expect(await byCertificate(signing.issue({ email: EMAIL }))).toBe(
      'its certificate was given on the word of nobody, not of https://issuer.example',
    );
  });

  it('does not hold without a certificate, or with two', async () => {
    const leaf = signing.issue(RIGHT);
    const signed = await simpleSignature(SUBJECT, { leaf }, { logged: { log } });
    const withLeaf = (pem: string): typeof signed => ({
      ...signed,
      annotations: { ...signed.annotations, [CERTIFICATE_ANNOTATION]: pem },
    });
    const longer = pemOf('CERTIFICATE', Buffer.concat([leaf.certificate.raw, Buffer.alloc(2)]));
    const tagged = [
      withLeaf(longer),
      withLeaf(''),
      withLeaf(leaf.pem + signing.issue(RIGHT).pem),
      withLeaf('nothing'),
    ];
    expect(await verdicts(byFulcio([root], { rekor: [log] }), { tagged })).toEqual([
      'its certificate is not in DER',
      'it has no certificate',
      'it has not exactly one certificate',
      'its certificate cannot be read as PEM',
    ]);
  });

  it('does not hold where what it signed was changed', async () => {
    const leaf = signing.issue(RIGHT);
    expect(await byCertificate(leaf, { signed: Buffer.from('?') })).toBe('the signed content was changed');
  });

  it('does not hold by the promise of another log, or none', async () => {
    const leaf = signing.issue(RIGHT);
    const logged = { log: new TransparencyLog() };
    const tagged = [
      await simpleSignature(SUBJECT, { leaf }, { logged }),
      await simpleSignature(SUBJECT, { leaf }),
    ];
    expect(await verdicts(byFulcio([root], { rekor: [log] }), { tagged })).toEqual([
      'it is not in the transparency log of the policy',
      'it has no entry in a transparency log',
    ]);
    expect(await verdict(byFulcio([root]), { tagged: tagged.slice(0, 1) })).toBe(
      'the policy names no transparency log',
    );
  });

  it('does not hold by a log that has the signature as of another certificate of the same key', async () => {
    const key = signingKey();
    const expired = signing.issue({ ...RIGHT, key, notBefore: ago(3), notAfter: ago(2) });
    const leaf = signing.issue({ ...RIGHT, key });
    const payload = simplePayload(SUBJECT);
    const signature = signedBy(key, payload);
    const entry = await log.log(hashedRekord({ signature, payload, signer: expired.pem }));
    const annotations = {
      [SIGNATURE_ANNOTATION]: signature.toString('base64'),
      [CERTIFICATE_ANNOTATION]: leaf.pem,
      [CHAIN_ANNOTATION]: signing.pem,
      [BUNDLE_ANNOTATION]: promiseAnnotation(entry),
    };
    expect(await verdict(byFulcio([root], { rekor: [log] }), { tagged: [{ payload, annotations }] })).toBe(
      'its entry in the transparency log is for another key or certificate',
    );
  });
});

describe('a chain of certificates', () => {
  const stranger = new SigningAuthority();

  it.each<[string, SigningLeaf, string]>([
    ['of another authority with the same name', stranger.intermediate().issue(RIGHT), OTHER_AUTHORITY],
    ['of one that has signed itself', stranger.issue(RIGHT), OTHER_AUTHORITY],
    [
      'of the right key under another name',
      new SigningAuthority({ commonName: 'other', key: root.key }).issue(RIGHT),
      OTHER_AUTHORITY,
    ],
    [
      'over one that is no authority',
      root.intermediate({ authority: false }).issue(RIGHT),
      'its certificate was signed by one that is no authority',
    ],
    [
      'over an authority below one that allows none',
      root.intermediate({ pathLength: 0, commonName: 'a' }).intermediate({ commonName: 'b' }).issue(RIGHT),
      "the certificate of its certificate's authority allows no further authority below it",
    ],
    [
      'over an authority for servers',
      root.intermediate({ purposes: [SERVER_AUTH] }).issue(RIGHT),
      "the certificate of its certificate's authority is not for signing code",
    ],
    [
      'over an authority that restricts names',
      root
        .intermediate({
          extensions: [['2.5.29.30', sequence(der(0xa0, sequence(der(0x82, Buffer.from('x')))))]],
        })
        .issue(RIGHT),
      "the certificate of its certificate's authority restricts names, which is not understood",
    ],
  ])('does not hold %s', async (_name, leaf, reason) => {
    expect(await byCertificate(leaf)).toBe(reason);
  });

  it('does not hold where an authority in it had expired', async () => {
    const leaf = root.intermediate({ notBefore: ago(3), notAfter: ago(2) }).issue(RIGHT);
    expect(await byCertificate(leaf)).toMatch(/^the certificate of its certificate's authority expired /);
  });

  it('does not hold where the leaf of another is taken for an authority', async () => {
    const issued = root.issue({ ...RIGHT, commonName: 'landfall signing' });
    const rogue = new SigningAuthority({ commonName: 'landfall signing', key: issued.key });
    const leaf = rogue.issue(RIGHT);
    const chain = [issued.certificate, root.certificate];
    expect(await byCertificate(leaf, { chain })).toBe(
      'its certificate was signed by one that is no authority',
    );
  });

  it('holds in any order, with whatever else came along', async () => {
    const second = signing.intermediate({ commonName: 'second' });
    const leaf = second.issue(RIGHT);
    const chain = [stranger.certificate, root.certificate, second.certificate, signing.certificate];
    expect(await byCertificate(leaf, { chain })).toBe(HELD);
    expect(await byCertificate(leaf, { chain: [root.certificate, second.certificate] })).toBe(
      OTHER_AUTHORITY,
    );
  });

  it('ends where certificates sign one another in a circle', async () => {
    const key = signingKey();
    const a = new SigningAuthority({ commonName: 'a', key }, new SigningAuthority({ commonName: 'b', key }));
    const b = new SigningAuthority({ commonName: 'b', key }, new SigningAuthority({ commonName: 'a', key }));
    const circle = [a.certificate, b.certificate];
    expect(await byCertificate(a.issue(RIGHT), { chain: circle })).toBe(OTHER_AUTHORITY);
    const selfSigned = [1, 2, 3].map(() => new SigningAuthority({ commonName: 'a', key }).certificate);
    expect(await byCertificate(a.issue(RIGHT), { chain: selfSigned })).toBe(OTHER_AUTHORITY);
  });

  it('ends where there are too many, or too many ways through them', async () => {
    const key = signingKey();
    const a = new SigningAuthority({ commonName: 'a', key });
    const same = (count: number): (typeof a.certificate)[] =>
      Array.from({ length: count }, () => new SigningAuthority({ commonName: 'a', key }).certificate);
    expect(await byCertificate(a.issue(RIGHT), { chain: same(8) })).toBe(
      'it came with too many certificates that fit together',
    );
    expect(await byCertificate(a.issue(RIGHT), { chain: same(9) })).toBe(
      'it came with more than 8 certificates',
    );
  });
});

describe('a certificate of another authority', () => {
  async function byIt(leaf: SigningLeaf, requirement = byPki([root], { email: EMAIL })): Promise<string> {
    return await verdict(requirement, { tagged: [await simpleSignature(SUBJECT, { leaf })] });
  }

  it('holds while it is valid, without a log', async () => {
    expect(await byIt(signing.issue({ email: EMAIL }))).toBe(`holds: ${EMAIL}`);
  });

  it('holds in a bundle', async () => {
    const leaf = signing.issue({ email: EMAIL });
    const requirement = byPki([root], {
      email: EMAIL,
      intermediates: [signing],
      identity: { type: 'matchDigest' },
    });
    const bundles = [
      await statementBundle(SUBJECT, { leaf }, { name }),
      await messageBundle(MANIFEST, { leaf }),
    ];
    expect(await verdicts(requirement, { bundles })).toEqual([`holds: ${EMAIL}`, `holds: ${EMAIL}`]);
  });

  it('holds where it is itself what the policy trusts', async () => {
    const leaf = root.issue({ email: EMAIL });
    expect(await byIt(leaf, byPki([leaf], { email: EMAIL }))).toBe(`holds: ${EMAIL}`);
  });

  it.each<[string, LeafOptions, string | RegExp]>([
    [
      'expired',
      { email: EMAIL, notBefore: ago(3), notAfter: ago(2) },
      /^its certificate expired 20\d\d-.*Z$/,
    ],
    ['is not valid yet', { email: EMAIL, notBefore: ago(-0.5) }, /^its certificate is valid only from /],
    ['is for servers', { email: EMAIL, purposes: [SERVER_AUTH] }, 'its certificate is not for signing code'],
    ['is for somebody else', { email: 'x@example.com' }, /^its certificate is for "x@example.com", not for/],
  ])('does not hold that %s', async (_name, options, reason) => {
    expect(await byIt(signing.issue(options))).toMatch(reason);
  });

  it('does not hold of another root, or of one in the policy that is no root', async () => {
    const leaf = new SigningAuthority().issue({ email: EMAIL });
    expect(await byIt(leaf)).toBe(OTHER_AUTHORITY);
    const itself = new SigningAuthority({ commonName: 'x' });
    const requirement = byPki([root], { email: EMAIL, intermediates: [itself] });
    expect(await byIt(itself.issue({ email: EMAIL }), requirement)).toBe(OTHER_AUTHORITY);
  });

  it.each<[string, LeafOptions, string, boolean]>([
    ['its host', { hosts: ['ci.example.com'] }, 'ci.example.com', true],
    ['a pattern of its host', { hosts: ['*.example.com'] }, 'ci.example.com', true],
    ['another host', { hosts: ['cd.example.com'] }, 'ci.example.com', false],
    ['part of a pattern', { hosts: ['c*.example.com'] }, 'ci.example.com', false],
    ['a common name', { commonName: 'ci.example.com' }, 'ci.example.com', false],
    ['an address written as a host', { hosts: ['10.0.0.1'] }, '10.0.0.1', false],
  ])('is held to %s', async (_name, options, hostname, fits) => {
    const said = await byIt(signing.issue(options), byPki([root], { hostname }));
    expect(said).toBe(fits ? `holds: ${hostname}` : `its certificate is not for the host ${hostname}`);
  });

  it('is held to both where the policy names both', async () => {
    const requirement = byPki([root], { email: EMAIL, hostname: 'ci.example.com' });
    const hosts = ['ci.example.com'];
    expect(await byIt(signing.issue({ email: EMAIL, hosts }), requirement)).toBe(
      `holds: ${EMAIL}, ci.example.com`,
    );
    expect(await byIt(signing.issue({ email: EMAIL }), requirement)).toMatch(
      /^its certificate is not for the host/,
    );
    expect(await byIt(signing.issue({ hosts }), requirement)).toMatch(
      /^its certificate is for no e-mail address/,
    );
    expect(await byIt(signing.issue({ email: EMAIL, hosts }), byPki([root]))).toMatch(
      /^the policy names no subject/,
    );
  });
});
