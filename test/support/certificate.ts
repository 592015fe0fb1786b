import { type KeyObject, randomBytes, sign } from 'node:crypto';

import { bitString, der, objectId, octets, pemOf, sequence, TRUE, utcTime, utf8 } from './der.js';

/*
 * Just enough of X.509 (RFC 5280) to sign a certificate, since Node reads certificates but makes none.
 */

const ECDSA_WITH_SHA256 = sequence(objectId(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
const COMMON_NAME = objectId(0x55, 0x04, 0x03);
const SUBJECT_ALT_NAME = objectId(0x55, 0x1d, 0x11);
const BASIC_CONSTRAINTS = objectId(0x55, 0x1d, 0x13);
const EXTENDED_KEY_USAGE = objectId(0x55, 0x1d, 0x25);
const PURPOSES: Readonly<Record<'server' | 'client', Buffer>> = {
  server: objectId(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01),
  client: objectId(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02),
};

export interface CertificateRequest {
  /** Common name of whom it is for. */
  readonly subject: string;
  /** Common name of whoever signs it. */
  readonly issuer: string;
  readonly publicKey: KeyObject;
  /** The issuer's, a P-256 key. */
  readonly signingKey: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** May sign others. */
  readonly authority?: boolean;
  /** What it may be shown as; without it, as anything. */
  readonly purpose?: 'server' | 'client';
  /** DNS names and IPv4 addresses that it is good for. */
  readonly hosts?: readonly string[];
}

/** Signs a certificate and gives it in PEM. */
export function signCertificate(request: CertificateRequest): string {
  const serial = randomBytes(8);
  serial.writeUInt8((serial.readUInt8(0) & 0x3f) | 0x40, 0);
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    ECDSA_WITH_SHA256,
    nameOf(request.issuer),
    sequence(utcTime(request.notBefore), utcTime(request.notAfter)),
    nameOf(request.subject),
    request.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensionsOf(request)),
  );
  const signature = sign('sha256', toBeSigned, request.signingKey);
  const certificate = sequence(toBeSigned, ECDSA_WITH_SHA256, bitString(signature));
  return pemOf('CERTIFICATE', certificate);
}

function nameOf(commonName: string): Buffer {
  return sequence(der(0x31, sequence(COMMON_NAME, utf8(commonName))));
}

function extensionsOf({ authority = false, purpose, hosts = [] }: CertificateRequest): Buffer {
  return sequence(
    sequence(BASIC_CONSTRAINTS, TRUE, octets(authority ? sequence(TRUE) : sequence())),
    ...(hosts.length === 0 ? [] : [sequence(SUBJECT_ALT_NAME, octets(sequence(...hosts.map(altName))))]),
    ...(purpose === undefined ? [] : [sequence(EXTENDED_KEY_USAGE, octets(sequence(PURPOSES[purpose])))]),
  );
}

function altName(host: string): Buffer {
  if (!/^\d+(\.\d+){3}$/.test(host)) return der(0x82, Buffer.from(host));
  return der(0x87, Buffer.from(host.split('.').map(Number)));
}
