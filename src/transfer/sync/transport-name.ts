import path from 'node:path';
import { LandfallError } from '../../errors.js';
import { parseReference } from '../../spec/index.js';
import type { TransportName } from './mirror-file.js';

export interface NamedTransport {
  readonly transport: TransportName;
  /** What stands behind a registry's host: `mirrors/hub`. */
  readonly prefix: string;
}

/**
 * Reads `docker://HOST[/PATH]`, `oci:DIR`, `oci-archive:FILE` and `store`.
 *
 * @param directory what relative paths are relative to
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseTransportName(text: string, directory: string): NamedTransport {
  if (text === 'store') return { transport: { kind: 'store' }, prefix: '' };
  const [, scheme, rest = ''] = /^(docker:\/\/|oci:|oci-archive:)(.*)$/s.exec(text) ?? [];
  switch (scheme) {
    case 'docker://':
      return registryOf(text, rest);
    case 'oci:':
    case 'oci-archive:': {
      if (rest === '' || rest.includes(':')) {
        throw invalid(`${text} is not ${scheme}${scheme === 'oci:' ? 'DIR' : 'FILE'}, without a tag`);
      }
      const kind = scheme === 'oci:' ? 'layout' : 'archive';
      return { transport: { kind, path: path.resolve(directory, rest) }, prefix: '' };
    }
    default:
      throw invalid(`${text} is no place that images can be mirrored to or from`);
  }
}

/** A place as a person writes it: `docker://quay.io`, `oci:/srv/mirror`. */
export function formatTransport(transport: TransportName): string {
  switch (transport.kind) {
    case 'registry':
      return `docker://${transport.host}`;
    case 'layout':
      return `oci:${transport.path}`;
    case 'archive':
      return `oci-archive:${transport.path}`;
    case 'store':
      return 'store';
  }
}

/** A registry's host in canonical form, or undefined where a text is none. */
export function parseHost(text: string): string | undefined {
  if (text.includes('/')) return undefined;
  try {
    const { registry, repository } = parseReference(`${text}/a/b`);
    return repository === 'a/b' ? registry : undefined;
  } catch {
    return undefined;
  }
}

function registryOf(text: string, rest: string): NamedTransport {
  const trimmed = rest.replace(/\/+$/, '');
  const slash = trimmed.indexOf('/');
  const host = parseHost(slash < 0 ? trimmed : trimmed.slice(0, slash));
  const prefix = slash < 0 ? '' : trimmed.slice(slash + 1);
  if (host === undefined) {
    throw invalid(`${text} does not begin with a host: one has a dot, a port, or is localhost`);
  }
  if (prefix !== '' && !isPath(host, prefix)) throw invalid(`${prefix} is no path of a repository`);
  return { transport: { kind: 'registry', host }, prefix };
}

function isPath(host: string, text: string): boolean {
  try {
    const { tag, digest } = parseReference(`${host}/${text}/x`);
    return tag === undefined && digest === undefined;
  } catch {
    return false;
  }
}

function invalid(message: string): LandfallError {
  return new LandfallError('INVALID_CONFIG', message, {
    hint: 'Write docker://HOST[/PATH], oci:DIR, oci-archive:FILE or store.',
  });
}
