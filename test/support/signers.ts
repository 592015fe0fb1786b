import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import {
  cosignCertificate,
  type CosignKey,
  cosignKey,
  type CosignSigner,
  importedCosignKey,
} from './cosign.js';
import { type LeafOptions, SigningAuthority, type SigningLeaf } from './signing-authority.js';
import { type SigningKey, signingKey } from './signing-keys.js';
import { TransparencyLog } from './transparency-log.js';

export const EMAIL = 'ci@example.com';
export const HOSTNAME = 'build.example.com';
export const OIDC_ISSUER = 'https://accounts.example.com';

const MINUTE = 60_000;
const DAY = 86_400_000;

/** A key that is not cosign's, so that more can be done with it. */
export interface KeptKey {
  /** Path of the public key in PEM. */
  readonly public: string;
  readonly key: SigningKey;
}

/** Who signs, and what a policy may trust of it. Paths are those of PEM files. */
export interface Signers {
  readonly dir: string;
  readonly ours: CosignKey;
  readonly theirs: CosignKey;
  readonly ed25519: CosignKey;
  /** Debian's cosign 2.5 imports no RSA key, but verifies by one. */
  readonly rsa: KeptKey;
  /** Of signatures that are in a log. */
  readonly logged: KeptKey;
  /**
   * By certificates of one's own authority: of a mail address, of a host's name, not valid any more, of
   * another address or authority.
   */
  readonly certified: CosignSigner;
  readonly hosted: CosignSigner;
  readonly expired: CosignSigner;
  readonly misaddressed: CosignSigner;
  readonly misissued: CosignSigner;
  /** As Fulcio gives them: valid for minutes, hours ago. */
  readonly keyless: SigningLeaf;
  readonly keylessElsewhere: SigningLeaf;
  /** When these were valid. */
  readonly keylessTime: Date;
  readonly rekor: TransparencyLog;
  readonly otherRekor: TransparencyLog;
  readonly trust: {
    readonly roots: string;
    readonly intermediates: string;
    readonly fulcio: string;
    readonly rekor: string;
    readonly otherRekor: string;
    /** Ours and theirs. */
    readonly twoKeys: string;
  };
}

export async function makeSigners(dir: string): Promise<Signers> {
  await mkdir(dir, { recursive: true });
  const pem = async (name: string, text: string): Promise<string> => {
    const path = join(dir, `${name}.pem`);
    await writeFile(path, text);
    return path;
  };
  const yesterday = { notBefore: new Date(Date.now() - DAY), notAfter: new Date(Date.now() + DAY) };
  const root = new SigningAuthority({ commonName: 'harbour root', ...yesterday });
  const harbour = root.intermediate({ commonName: 'harbour signing', ...yesterday });
  const elsewhere = new SigningAuthority({ commonName: 'another root', ...yesterday });
  const fulcio = new SigningAuthority({ commonName: 'fulcio of the tests', ...yesterday });
  const certificate = (name: string, issuer: SigningAuthority, o: LeafOptions): Promise<CosignSigner> =>
    cosignCertificate(dir, name, (key) => issuer.issue({ ...o, key }));
  const kept = async (name: string, key: SigningKey): Promise<KeptKey> => ({
    public: await pem(name, key.pem),
    key,
  });
  const keylessTime = new Date(Date.now() - 180 * MINUTE);
  const short = {
    notBefore: new Date(keylessTime.getTime() - MINUTE),
    notAfter: new Date(keylessTime.getTime() + 9 * MINUTE),
  };
  const [rekor, otherRekor] = [new TransparencyLog(), new TransparencyLog()];
  const [ours, theirs] = [await cosignKey(dir, 'ours'), await cosignKey(dir, 'theirs')];
  const both = await Promise.all([ours, theirs].map(({ public: path }) => readFile(path, 'utf8')));
  return {
    dir,
    ours,
    theirs,
    ed25519: await importedCosignKey(dir, 'ed25519', signingKey('ed25519')),
    rsa: await kept('rsa', signingKey('rsa')),
    logged: await kept('logged', signingKey()),
    certified: await certificate('certified', harbour, { email: EMAIL }),
    hosted: await certificate('hosted', harbour, { hosts: [HOSTNAME] }),
    expired: await certificate('expired', harbour, {
      email: EMAIL,
      ...yesterday,
      notAfter: new Date(Date.now() - 60 * MINUTE),
    }),
    misaddressed: await certificate('misaddressed', harbour, { email: 'mallory@example.com' }),
    misissued: await certificate('misissued', elsewhere, { email: EMAIL }),
    keyless: fulcio.issue({ email: EMAIL, oidcIssuer: OIDC_ISSUER, ...short }),
    keylessElsewhere: fulcio.issue({ email: EMAIL, oidcIssuer: 'https://login.example.net', ...short }),
    keylessTime,
    rekor,
    otherRekor,
    trust: {
      roots: await pem('roots', root.pem),
      intermediates: await pem('intermediates', harbour.pem),
      fulcio: await pem('fulcio', fulcio.pem),
      rekor: await pem('rekor', rekor.key.pem),
      otherRekor: await pem('other-rekor', otherRekor.key.pem),
      twoKeys: await pem('two-keys', both.join('')),
    },
  };
}
