import { isLandfallError, LandfallError } from '../errors.js';
import { parseReference } from '../spec/index.js';

/**
 * Reads the name of a registry as image names have it: `docker.io`, `reg.lan:5000`.
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseUpstream(text: string): string {
  // Anything else would be read as the first part of a name at Docker Hub.
  if (/^[^/@]*[.:][^/@]*$|^localhost$/.test(text)) {
    try {
      const { registry, tag, repository } = parseReference(`${text}/any`);
      if (tag === undefined && repository.endsWith('any')) return registry;
    } catch (error) {
      if (!isLandfallError(error)) throw error;
    }
  }
  throw new LandfallError(
    'INVALID_CONFIG',
    `--upstream: ${JSON.stringify(text.replace(/^.*@/s, '***@'))} is not a registry`,
    {
      hint: 'Write HOST or HOST:PORT, as image names begin: docker.io, quay.io, registry.lan:5000.',
    },
  );
}
