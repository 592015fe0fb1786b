import { join } from 'node:path';

import type { CertificatePaths } from './certificates.js';

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
