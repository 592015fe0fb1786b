import { generateKeyPairSync, type KeyObject } from 'node:crypto';

import { signCertificate } from './certificate.js';

export interface SelfSigned {
  /** PEM */
  readonly cert: string;
  /** PEM, PKCS #8 */
  readonly key: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const DAY = 86_400_000;

/**
 * A new P-256 key and a certificate that it signs for itself, good for 127.0.0.1 and localhost for one day.
 */
export function selfSigned(commonName = 'landfall test'): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const cert = signCertificate({
    subject: commonName,
    issuer: commonName,
    publicKey,
    signingKey: privateKey,
    notBefore: new Date(Date.now() - DAY),
    notAfter: new Date(Date.now() + DAY),
    authority: true,
    hosts: ['127.0.0.1', 'localhost'],
  });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { cert, key, privateKey, publicKey };
}
