import { type Dirent } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';

/** Where distributions keep their authorities: those of Go's crypto/x509, which skopeo and containerd use. */
export interface AuthorityPlaces {
  /** The first that can be read counts. */
  readonly files: readonly string[];
  readonly directories: readonly string[];
}

const PLACES: AuthorityPlaces = {
  files: [
    '/etc/ssl/certs/ca-certificates.crt',
    '/etc/pki/tls/certs/ca-bundle.crt',
    '/etc/ssl/ca-bundle.pem',
    '/etc/pki/tls/cacert.pem',
    '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
    '/etc/ssl/cert.pem',
  ],
  directories: ['/etc/ssl/certs', '/etc/pki/tls/certs'],
};

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * The authorities that this machine trusts, in PEM: `SSL_CERT_FILE`, or the distribution's bundle; and the
 * files of `SSL_CERT_DIR`, or of the distribution's directory. Node's own authorities where there are none.
 * Those of `NODE_EXTRA_CA_CERTS` are added to either.
 */
export async function systemAuthorities(
  env: Readonly<Record<string, string | undefined>>,
  places: AuthorityPlaces = PLACES,
): Promise<readonly string[]> {
  const { SSL_CERT_FILE: file, SSL_CERT_DIR: directories, NODE_EXTRA_CA_CERTS: extra } = env;
  const found = await firstOf(file === undefined || file === '' ? places.files : [file]);
  const isNamed = directories !== undefined && directories !== '';
  for (const directory of isNamed ? directories.split(':') : places.directories)
    found.push(...(await allIn(directory, isNamed)));
  const own = found.length > 0 ? found : rootCertificates;
  return [...new Set([...own, ...(extra === undefined || extra === '' ? [] : await certificatesIn(extra))])];
}

async function firstOf(files: readonly string[]): Promise<string[]> {
  for (const file of files) {
    const certificates = await certificatesIn(file);
    if (certificates.length > 0) return certificates;
  }
  return [];
}

/**
 * @param links whether what is linked to counts too; the links of a distribution lead to what is in its
 *   bundle, and are many
 */
async function allIn(directory: string, links: boolean): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((): Dirent[] => []);
  const read = entries
    .filter((entry) => entry.isFile() || (links && entry.isSymbolicLink()))
    .map(({ name }) => certificatesIn(join(directory, name)));
  return (await Promise.all(read)).flat();
}

/** None where it cannot be read: then other files may do. */
async function certificatesIn(file: string): Promise<string[]> {
  return (await readFile(file, 'utf8').catch(() => '')).match(CERTIFICATE) ?? [];
}
