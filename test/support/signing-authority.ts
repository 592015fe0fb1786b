import { type KeyObject, randomBytes, X509Certificate } from 'node:crypto';

import { bitString, der, objectId, octets, pemOf, sequence, TRUE, utcTime, utf8 } from './der.js';
import { signedBy, signingKey, type SigningKey } from './signing-keys.js';

/*
 * An authority as Fulcio is one, or a company's own: certificates to sign code with (RFC 5280; Fulcio's extensions:
 * https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md).
 */

/** What a certificate says of whom it is for; all that is left out is not in it. */
export interface SigningSubject {
  readonly email?: string;
  /** Several, or none, in the place of `email`. */
  readonly emails?: readonly string[];
  readonly hosts?: readonly string[];
  /** Fulcio's `issuer`, in both forms. */
  readonly oidcIssuer?: string | undefined;
  /** In its old form only, whatever `oidcIssuer` says. */
  readonly oidcIssuerV1?: string;
  /** In its new form only. */
  readonly oidcIssuerV2?: string;
}

/** How a certificate is made; the defaults are what is right for it. */
export interface CertificateOptions {
  readonly commonName?: string;
  /** Default: an hour ago. */
  readonly notBefore?: Date;
  /** Default: in an hour. */
  readonly notAfter?: Date;
  /** Extended key usages, by OID. Default: code signing in a leaf, none in an authority. */
  readonly purposes?: readonly string[];
  /** Default: random. */
  readonly serial?: number;
  /** Extensions besides, as `[OID, value in DER, critical]`. */
  readonly extensions?: readonly (readonly [oid: string, value: Uint8Array, critical?: boolean])[];
}

export interface LeafOptions extends SigningSubject, CertificateOptions {
  /** Default: a new one. */
  readonly key?: SigningKey;
}

export interface AuthorityOptions extends CertificateOptions {
  /** Default true: without it, what calls itself an intermediate may sign nothing. */
  readonly authority?: boolean;
  /** How many authorities may follow below it. */
  readonly pathLength?: number;
  readonly key?: SigningKey;
}

/** A certificate with its key, and what leads from it to the root. */
export interface SigningLeaf {
  readonly key: SigningKey;
  readonly certificate: X509Certificate;
  readonly pem: string;
  /** Of the authorities above it, the root last. */
  readonly chain: readonly X509Certificate[];
}

export const CODE_SIGNING = '1.3.6.1.5.5.7.3.3';
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

const HOUR = 3_600_000;
const ALGORITHMS: Readonly<Record<string, Buffer>> = {
  ec: sequence(objectId('1.2.840.10045.4.3.2')),
  rsa: sequence(objectId('1.2.840.113549.1.1.11'), der(0x05)),
  ed25519: sequence(objectId('1.3.101.112')),
};

export class SigningAuthority {
  readonly key: SigningKey;
  readonly certificate: X509Certificate;
  /** Its own certificate, as a policy's `caPath` names it. */
  readonly pem: string;
  readonly #above: readonly X509Certificate[];
  readonly #name: string;

  /** A root without an issuer; an intermediate with one. */
  constructor(options: AuthorityOptions = {}, issuer?: SigningAuthority) {
    this.#name = options.commonName ?? (issuer === undefined ? 'landfall signing root' : 'landfall signing');
    this.key = options.key ?? signingKey();
    this.certificate = certify({
      ...options,
      subject: this.#name,
      issuer: issuer === undefined ? this.#name : issuer.#name,
      publicKey: this.key.publicKey,
      signingKey: issuer === undefined ? this.key : issuer.key,
      extensions: [...authorityExtensions(options), ...(options.extensions ?? [])],
    });
    this.pem = pemOf('CERTIFICATE', this.certificate.raw);
    this.#above = issuer === undefined ? [] : issuer.chain;
  }

  /** Itself, and what leads to the root. */
  get chain(): readonly X509Certificate[] {
    return [this.certificate, ...this.#above];
  }

  intermediate(options: AuthorityOptions = {}): SigningAuthority {
    return new SigningAuthority(options, this);
  }

  /** A certificate to sign with. */
  issue(options: LeafOptions = {}): SigningLeaf {
    const key = options.key ?? signingKey();
    const certificate = certify({
      ...options,
      subject: options.commonName ?? 'signer',
      issuer: this.#name,
      publicKey: key.publicKey,
      signingKey: this.key,
      extensions: [...leafExtensions(options), ...(options.extensions ?? [])],
    });
    return { key, certificate, pem: pemOf('CERTIFICATE', certificate.raw), chain: this.chain };
  }
}

interface CertificateContent extends CertificateOptions {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signingKey: SigningKey;
}

function certify(content: CertificateContent): X509Certificate {
  const { subject, issuer, publicKey, signingKey: signer, extensions = [] } = content;
  const serial = randomBytes(8);
  if (content.serial !== undefined) serial.writeBigUInt64BE(BigInt(content.serial));
  serial.writeUInt8((serial.readUInt8(0) & 0x3f) | 0x40, 0);
  const algorithm = ALGORITHMS[signer.privateKey.asymmetricKeyType ?? ''] ?? Buffer.alloc(0);
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    nameOf(issuer),
    sequence(
      utcTime(content.notBefore ?? new Date(Date.now() - HOUR)),
      utcTime(content.notAfter ?? new Date(Date.now() + HOUR)),
    ),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions.map(([oid, value, critical]) => extension(oid, value, critical)))),
  );
  return new X509Certificate(sequence(toBeSigned, algorithm, bitString(signedBy(signer, toBeSigned))));
}

type Extensions = NonNullable<CertificateOptions['extensions']>;

function authorityExtensions({ authority = true, pathLength, purposes = [] }: AuthorityOptions): Extensions {
  const length = pathLength === undefined ? [] : [der(0x02, Buffer.from([pathLength]))];
  return [
    ['2.5.29.19', authority ? sequence(TRUE, ...length) : sequence(), true],
    // keyCertSign and cRLSign, or digitalSignature.
    ['2.5.29.15', authority ? bitString(Buffer.from([0x06]), 1) : bitString(Buffer.from([0x80]), 7), true],
    ...usages(purposes),
  ];
}

function leafExtensions(options: LeafOptions): Extensions {
  const emails = options.emails ?? (options.email === undefined ? [] : [options.email]);
  const names = [
    ...emails.map((email) => der(0x81, Buffer.from(email))),
    ...(options.hosts ?? []).map((host) => der(0x82, Buffer.from(host))),
  ];
  const v1 = options.oidcIssuerV1 ?? options.oidcIssuer;
  const v2 = options.oidcIssuerV2 ?? options.oidcIssuer;
  return [
    ['2.5.29.15', bitString(Buffer.from([0x80]), 7), true],
    ...usages(options.purposes ?? [CODE_SIGNING]),
    ...(names.length === 0 ? [] : [['2.5.29.17', sequence(...names), true] as const]),
    ...(v1 === undefined ? [] : [['1.3.6.1.4.1.57264.1.1', Buffer.from(v1)] as const]),
    ...(v2 === undefined ? [] : [['1.3.6.1.4.1.57264.1.8', utf8(v2)] as const]),
  ];
}

function usages(purposes: readonly string[]): Extensions {
  return purposes.length === 0 ? [] : [['2.5.29.37', sequence(...purposes.map((oid) => objectId(oid)))]];
}

function extension(oid: string, value: Uint8Array, critical = false): Buffer {
  return sequence(objectId(oid), ...(critical ? [TRUE] : []), octets(value));
}

function nameOf(commonName: string): Buffer {
  return sequence(der(0x31, sequence(objectId('2.5.4.3'), utf8(commonName))));
}
