import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { TrustError } from '../../../src/errors.js';
import { loadTrustRoots } from '../../../src/trust/policy/load-requirement.js';
import type { PolicyBytes, PolicySigners } from '../../../src/trust/policy/requirement.js';
import { CertificateAuthority } from '../../support/certificate-authority.js';

const PLACE = { policy: '/etc/policy.json', scope: 'docker:quay.io', line: 3 };

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'landfall-trust-roots-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

const spki = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();
const pem = (label: string, der: Buffer): string =>
  `-----BEGIN ${label}-----\n${der.toString('base64')}\n-----END ${label}-----\n`;
const load = async (
  signers: PolicySigners,
  rekorKeys: readonly PolicyBytes[] = [],
): ReturnType<typeof loadTrustRoots> =>
  await loadTrustRoots(
    { type: 'sigstoreSigned', signers, rekorKeys, signedIdentity: { type: 'matchRepository' } },
    PLACE,
  );
const data = (text: string | Buffer): PolicyBytes => ({ data: Buffer.from(text), line: 7 });
const keyOf = async (text: string | Buffer): Promise<KeyObject | undefined> => {
  const { roots } = await load({ kind: 'keys', keys: [data(text)] });
  return roots.kind === 'keys' ? roots.keys[0] : undefined;
};
const faultOf = async (loading: Promise<unknown>): Promise<TrustError> => {
  const error: unknown = await loading.catch((reason: unknown) => reason);
  if (error instanceof TrustError) return error;
  throw new Error(`not refused, but ${String(error)}`);
};

const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const ed25519 = generateKeyPairSync('ed25519');
const authority = new CertificateAuthority();
const other = new CertificateAuthority('another');
const privatePem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();

describe('a key', () => {
  it.each<[string, string]>([
    ['ECDSA on P-256', spki(p256.publicKey)],
    ['ECDSA on P-384', spki(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey)],
    ['ECDSA on P-521', spki(generateKeyPairSync('ec', { namedCurve: 'P-521' }).publicKey)],
    ['RSA', spki(rsa.publicKey)],
    ['RSA in PKCS #1', rsa.publicKey.export({ type: 'pkcs1', format: 'pem' }).toString()],
    ['Ed25519', spki(ed25519.publicKey)],
    [
      'with other line ends, and space around it',
      `\r\n ${spki(p256.publicKey).replaceAll('\n', '\r\n')}\n\n`,
    ],
    ['without a line end', spki(p256.publicKey).trimEnd()],
  ])('is one: %s', async (_name, text) => {
    const key = await keyOf(text);
    expect(key?.type).toBe('public');
    expect(await keyOf(key === undefined ? '' : spki(key))).toEqual(key);
  });

  const twisted = (): Buffer => {
    const der = p256.publicKey.export({ type: 'spki', format: 'der' });
    return Buffer.concat([der, Buffer.from([5, 0])]);
  };
  const truncated = (): string => spki(p256.publicKey).split('\n').toSpliced(1, 1).join('\n');
  it.each<[string, () => string, RegExp]>([
    ['nothing', () => '', /is no public key in PEM$/],
    [
      'DER',
      () => p256.publicKey.export({ type: 'spki', format: 'der' }).toString('latin1'),
      /is no public key in PEM$/,
    ],
    ['a private key', () => privatePem(p256.privateKey), /is no public key, but "PRIVATE KEY"$/],
    [
      'a private key of OpenSSL',
      () => p256.privateKey.export({ type: 'sec1', format: 'pem' }).toString(),
      /is no public key, but "EC PRIVATE KEY"$/,
    ],
    ['a certificate', () => authority.cert, /is no public key, but "CERTIFICATE"$/],
    ['two keys', () => spki(p256.publicKey) + spki(rsa.publicKey), /has more than one key/],
    [
      'a key and its private key',
      () => spki(p256.publicKey) + privatePem(p256.privateKey),
      /has more than one key/,
    ],
    [
      'text before it',
      () => `key of the build\n${spki(p256.publicKey)}`,
      /has something beside the public key$/,
    ],
    [
      'text behind it',
      () => `${spki(p256.publicKey)}key of the build\n`,
      /has something beside the public key$/,
    ],
    [
      'half a block behind it',
      () => `${spki(p256.publicKey)}-----BEGIN PUBLIC KEY-----\n`,
      /is no public key in PEM$/,
    ],
    [
      'another end',
      () => spki(p256.publicKey).replace('END PUBLIC', 'END PRIVATE'),
      /is no public key in PEM$/,
    ],
    ['what is no base64', () => spki(p256.publicKey).replace('==', '='), /is no public key in PEM$/],
    ['what is no key', () => pem('PUBLIC KEY', Buffer.from('no key')), /is no public key that can be read$/],
    ['half a key', truncated, /is no public key/],
    [
      'bytes behind the key',
      () => pem('PUBLIC KEY', twisted()),
      /is (?:a public key in an unusual encoding|no public key)/,
    ],
    [
      'a private key called public',
      () => pem('PUBLIC KEY', p256.privateKey.export({ type: 'pkcs8', format: 'der' })),
      /is no public key that can be read$/,
    ],
    [
      'a certificate called a key',
      () => authority.cert.replaceAll('CERTIFICATE', 'PUBLIC KEY'),
      /is no public key that can be read$/,
    ],
    [
      'a key for agreement',
      () => spki(generateKeyPairSync('x25519').publicKey),
      /is a x25519 key; it has to be ec or rsa or ed25519$/,
    ],
    ['Ed448', () => spki(generateKeyPairSync('ed448').publicKey), /is a ed448 key/],
    [
      'RSA for PSS',
      () => spki(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey),
      /is a rsa-pss key/,
    ],
    [
      'short RSA',
      () => spki(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
      /is an RSA key of 1024 bits, fewer than 2048$/,
    ],
    [
      'a curve that peers have not',
      () => spki(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey),
      /is a key on the curve secp256k1; it has to be prime256v1/,
    ],
    ['too much', () => spki(p256.publicKey) + ' '.repeat(65536), /has more than 65\.5 kB$/],
  ])('is none: %s', async (_name, text, fault) => {
    const error = await faultOf(keyOf(text()));
    expect(error.code).toBe('POLICY_REJECTED');
    expect(error.message).toMatch(/^\/etc\/policy\.json:7: the data /);
    expect(error.message).toMatch(fault);
    expect(error.details).toEqual({ policy: '/etc/policy.json', scope: 'docker:quay.io', line: 7 });
  });

  it.each<[string, (path: string) => unknown, RegExp]>([
    ['absent', () => undefined, /is not there$/],
    [
      'below a file',
      async (path) => await writeFile(join(path, '..'), ''),
      /is not there, since something above it is no directory$/,
    ],
    ['a directory', async (path) => await mkdir(path), /is not a regular file$/],
    ['a pipe', (path) => execFileSync('mkfifo', [path]), /is not a regular file$/],
    ['a link to itself', async (path) => await symlink(path, path), /leads through links that lead nowhere$/],
    [
      'a link to nowhere',
      async (path) => await symlink(join(path, 'no'), path),
      /(?:is not there|lead nowhere|no directory)/,
    ],
    ['large', async (path) => await writeFile(path, ' '.repeat(65537)), /has more than 65\.5 kB$/],
  ])('cannot be read that is %s', async (name, make, fault) => {
    const path =
      name === 'below a file' ? join(dir, 'file', 'key') : join(dir, `${name.replaceAll(' ', '-')}.pub`);
    await make(path);
    const error = await faultOf(load({ kind: 'keys', keys: [{ path, line: 9 }] }));
    expect(error.message.startsWith(`/etc/policy.json:9: "${path}" `)).toBe(true);
    expect(error.message).toMatch(fault);
    expect(error.code).toBe('POLICY_REJECTED');
  });

  it('is read from its file, through links, and each of several', async () => {
    await writeFile(join(dir, 'a.pub'), spki(p256.publicKey));
    await writeFile(join(dir, 'b.pub'), spki(rsa.publicKey));
    await symlink('b.pub', join(dir, 'link.pub'));
    const { roots, rekorKeys } = await load({
      kind: 'keys',
      keys: [{ path: join(dir, 'a.pub') }, { path: join(dir, 'link.pub') }],
    });
    expect(roots.kind === 'keys' && roots.keys.map(spki)).toEqual([
      spki(p256.publicKey),
      spki(rsa.publicKey),
    ]);
    expect(rekorKeys).toEqual([]);
  });

  it('of no line is told of by the line of the rule', async () => {
    const error = await faultOf(load({ kind: 'keys', keys: [{ data: Buffer.from('?') }] }));
    expect(error.message).toBe('/etc/policy.json:3: the data is no public key in PEM');
  });
});

describe('the key of a log', () => {
  const keys: PolicySigners = { kind: 'keys', keys: [data(spki(p256.publicKey))] };
  it('is an ECDSA key', async () => {
    const { rekorKeys } = await load(keys, [data(spki(p256.publicKey)), data(spki(p256.publicKey))]);
    expect(rekorKeys.map(spki)).toEqual([spki(p256.publicKey), spki(p256.publicKey)]);
  });
  it.each<[string, KeyObject]>([
    ['rsa', rsa.publicKey],
    ['ed25519', ed25519.publicKey],
  ])('is no %s key', async (type, key) => {
    const error = await faultOf(load(keys, [data(spki(key))]));
    expect(error.message).toBe(`/etc/policy.json:7: the data is a ${type} key; it has to be ec`);
  });
});

describe('certificates', () => {
  const fulcio = (text: string | Buffer): PolicySigners => ({
    kind: 'fulcio',
    ca: data(text),
    oidcIssuer: 'https://issuer.example',
    subjectEmail: 'ci@example.com',
  });
  const pems = async (signers: PolicySigners): Promise<readonly string[]> => {
    const { roots } = await load(signers);
    return (roots.kind === 'fulcio' ? roots.ca : roots.kind === 'pki' ? roots.roots : []).map(String);
  };

  it('are one or more, with text between them', async () => {
    expect(await pems(fulcio(authority.cert))).toEqual([authority.cert]);
    const bundle = `# An authority\n${authority.cert}\n# Änother\r\n${other.cert.replaceAll('\n', '\r\n')}`;
    expect(await pems(fulcio(bundle))).toEqual([authority.cert, other.cert]);
  });

  it('are of an authority as the policy says, and of those between', async () => {
    const { roots } = await load({
      kind: 'pki',
      roots: data(authority.cert),
      intermediates: data(other.cert),
      subjectHostname: 'ci.example.com',
    });
    expect(roots).toMatchObject({ kind: 'pki', subjectEmail: undefined, subjectHostname: 'ci.example.com' });
    expect(roots.kind === 'pki' && [roots.roots.map(String), roots.intermediates.map(String)]).toEqual([
      [authority.cert],
      [other.cert],
    ]);
    const { roots: without } = await load({
      kind: 'pki',
      roots: data(authority.cert),
      subjectEmail: 'a@b.c',
    });
    expect(without).toMatchObject({ intermediates: [], subjectEmail: 'a@b.c', subjectHostname: undefined });
    const { roots: by } = await load(fulcio(authority.cert));
    expect(by).toMatchObject({
      kind: 'fulcio',
      oidcIssuer: 'https://issuer.example',
      subjectEmail: 'ci@example.com',
    });
  });

  it.each<[string, () => string, RegExp]>([
    ['nothing', () => '', /has no certificates in PEM$/],
    ['text', () => 'none', /has no certificates in PEM$/],
    [
      'a public key',
      () => spki(p256.publicKey),
      /has "PUBLIC KEY" as block 1, where only certificates may be$/,
    ],
    [
      'a private key behind one',
      () => authority.cert + privatePem(createPrivateKey(privatePem(p256.privateKey))),
      /has "PRIVATE KEY" as block 2, where only certificates may be$/,
    ],
    [
      'what is no certificate behind one',
      () => authority.cert + pem('CERTIFICATE', Buffer.from('nothing')),
      /has as block 2 no certificate that can be read$/,
    ],
    [
      'bytes behind one',
      () =>
        pem(
          'CERTIFICATE',
          Buffer.concat([
            Buffer.from(authority.cert.replace(/-----.*-----|\n/g, ''), 'base64'),
            Buffer.from('x'),
          ]),
        ),
      /has as block 1 no certificate that can be read$/,
    ],
    ['half a block', () => authority.cert + authority.cert.slice(0, 100), /has no certificates in PEM$/],
    ['too much', () => authority.cert + ' '.repeat(4 * 1024 * 1024), /has more than 4\.2 MB$/],
  ])('are none: %s', async (_name, text, fault) => {
    for (const signers of [
      fulcio(text()),
      { kind: 'pki', roots: data(text()), subjectEmail: 'a@b.c' },
      { kind: 'pki', roots: data(authority.cert), intermediates: data(text()), subjectEmail: 'a@b.c' },
    ] satisfies PolicySigners[]) {
      const error = await faultOf(load(signers));
      expect(error.message).toMatch(/^\/etc\/policy\.json:7: the data /);
      expect(error.message).toMatch(fault);
    }
  });
});
