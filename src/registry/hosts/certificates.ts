import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import tls from 'node:tls';
import { type LandfallError, systemCode } from '../../errors.js';
import type { ConnectionOptions } from '../http/http.js';
import type { FileTrace } from './file-trace.js';

/** A client's certificate and its key: the same path twice where one file holds both. */
export interface KeyPairPaths {
  readonly cert: string;
  readonly key: string;
}

/** Absolute paths of PEM files. */
export interface CertificatePaths {
  readonly ca: readonly string[];
  readonly client: readonly KeyPairPaths[];
}

/** Makes the error for a file that was named as `ca` or `client`. */
export type CertificateFault = (
  key: 'ca' | 'client',
  path: string,
  what: string,
  cause?: unknown,
) => LandfallError;

/** Reads certificates and keys, and sees that they can be used: a connection would not say which file is at fault. */
export async function readCertificates(
  { ca, client }: CertificatePaths,
  trace: FileTrace,
  fault: CertificateFault,
): Promise<Pick<ConnectionOptions, 'ca' | 'client'>> {
  const read = async (key: 'ca' | 'client', path: string): Promise<Buffer> => {
    const content = await trace.read(path, (_path, what, cause) => fault(key, path, what, cause));
    if (content === undefined) throw fault(key, path, 'is not there');
    return content;
  };
  const authorities: string[] = [];
  for (const path of ca) {
    const found = certificatesIn(await read('ca', path));
    if (found.length === 0) throw fault('ca', path, 'holds no certificate in PEM');
    authorities.push(...found);
  }
  const pairs: { cert: Buffer; key: Buffer }[] = [];
  for (const paths of client) {
    const pair = { cert: await read('client', paths.cert), key: await read('client', paths.key) };
    const wrong = keyPairFault(pair.cert, pair.key);
    if (wrong !== undefined) throw fault('client', paths.cert, wrong.what, wrong.cause);
    pairs.push(pair);
  }
  return {
    ...(authorities.length === 0 ? {} : { ca: authorities }),
    ...(pairs.length === 0 ? {} : { client: pairs }),
  };
}

const BLOCK = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs;

/** The certificates in a PEM file, one text each. What is none is passed over, as Go does; Node would stop there. */
function certificatesIn(pem: Buffer): readonly string[] {
  return (pem.toString('latin1').match(BLOCK) ?? []).filter(isCertificate);
}

function isCertificate(block: string): boolean {
  try {
    return new X509Certificate(block).serialNumber !== '';
  } catch {
    return false;
  }
}

/** What is wrong with a client's certificate and key, in words; undefined when they belong together. */
function keyPairFault(cert: Buffer, key: Buffer): { what: string; cause: unknown } | undefined {
  if (certificatesIn(cert).length === 0) return { what: 'holds no certificate in PEM', cause: undefined };
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key.toString('latin1'))) {
    return { what: 'has no private key in PEM', cause: undefined };
  }
  try {
    tls.createSecureContext({ cert, key });
    return undefined;
  } catch (cause) {
    const code = systemCode(cause);
    if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH')
      return { what: 'has the key of another certificate', cause };
    return {
      what: `has a key that cannot be used (${code ?? 'unknown error'}); it must not be encrypted`,
      cause,
    };
  }
}

/**
 * Certificates as docker lays them into a registry's directory: `*.crt` are authorities that are trusted; `*.cert` are
 * shown to the registry, with the key from the `.key` of the same name, or from their own file when there is none.
 *
 * @param names what lies in the directory, its directories left out
 */
export function dockerCerts(directory: string, names: readonly string[]): CertificatePaths {
  const sorted = [...names].sort();
  return {
    ca: sorted.filter((name) => name.endsWith('.crt')).map((name) => join(directory, name)),
    client: sorted
      .filter((name) => name.endsWith('.cert'))
      .map((cert) => {
        const key = `${cert.slice(0, -'.cert'.length)}.key`;
        return { cert: join(directory, cert), key: join(directory, names.includes(key) ? key : cert) };
      }),
  };
}
