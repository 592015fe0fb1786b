import { generateKeyPairSync, type KeyObject } from 'node:crypto';

import { signCertificate } from './certificate.js';

export interface Issued {
  /** PEM */
  readonly cert: string;
  /** PEM, PKCS #8 */
  readonly key: string;
}

export interface IssueOptions {
  /** Default: the common name of a client is `pilot`, that of a server `landfall test`. */
  readonly commonName?: string;
  /** What a server's is good for. Default: 127.0.0.1 and localhost. */
  readonly hosts?: readonly string[];
  /** Was good until yesterday. */
  readonly expired?: boolean;
}

const DAY = 86_400_000;

/**
 * A small authority of this test run: what it issues is good for one day, where its own certificate is
 * trusted.
 */
export class CertificateAuthority {
  /** PEM, signed by itself. */
  readonly cert: string;
  readonly #name: string;
  readonly #privateKey: KeyObject;

  constructor(name = 'landfall test authority') {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#name = name;
    this.#privateKey = privateKey;
    this.cert = signCertificate({
      subject: name,
      issuer: name,
      publicKey,
      signingKey: privateKey,
      notBefore: new Date(Date.now() - 3 * DAY),
      notAfter: new Date(Date.now() + DAY),
      authority: true,
    });
  }

  server({
    commonName = 'landfall test',
    hosts = ['127.0.0.1', 'localhost'],
    expired,
  }: IssueOptions = {}): Issued {
    return this.#issue('server', commonName, hosts, expired);
  }

  client({ commonName = 'pilot', expired }: Omit<IssueOptions, 'hosts'> = {}): Issued {
    return this.#issue('client', commonName, [], expired);
  }

  #issue(purpose: 'server' | 'client', subject: string, hosts: readonly string[], expired = false): Issued {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const cert = signCertificate({
      subject,
      issuer: this.#name,
      publicKey,
      signingKey: this.#privateKey,
      notBefore: new Date(Date.now() - 2 * DAY),
      notAfter: new Date(Date.now() + (expired ? -DAY : DAY)),
      purpose,
      hosts,
    });
    return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
  }
}
