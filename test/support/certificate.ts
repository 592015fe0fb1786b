import { type KeyObject, randomBytes, sign } from 'node:crypto';

/*
 * Just enough of DER (X.690) and X.509 (RFC 5280) to sign a certificate, since Node reads certificates but makes none.
 */

function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const body = Buffer.concat(contents);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}
const sequence = (...items: Uint8Array[]): Buffer => der(0x30, ...items);
const objectId = (...bytes: number[]): Buffer => der(0x06, Buffer.from(bytes));
const bitString = (bytes: Uint8Array): Buffer => der(0x03, Buffer.from([0]), bytes);
const octets = (content: Uint8Array): Buffer => der(0x04, content);
const utcTime = (date: Date): Buffer =>
  der(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));

const ECDSA_WITH_SHA256 = sequence(objectId(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
const COMMON_NAME = objectId(0x55, 0x04, 0x03);
const SUBJECT_ALT_NAME = objectId(0x55, 0x1d, 0x11);
const BASIC_CONSTRAINTS = objectId(0x55, 0x1d, 0x13);
const EXTENDED_KEY_USAGE = objectId(0x55, 0x1d, 0x25);
const PURPOSES: Readonly<Record<'server' | 'client', Buffer>> = {
  server: objectId(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01),
  client: objectId(0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02),
};
const TRUE = der(0x01, Buffer.from([0xff]));

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
  return `-----BEGIN CERTIFICATE-----\n${certificate.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`;
}

function nameOf(commonName: string): Buffer {
  return sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(commonName)))));
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
