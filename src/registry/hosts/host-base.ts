import { posix } from 'node:path';

import { isLoopback } from './host-config.js';

export interface HostAddressOptions {
  /** The path is the root of the API as it stands, without `/v2` after it. */
  readonly overridePath: boolean;
  /** Whether the host has settings for TLS. */
  readonly hasTls: boolean;
  readonly fault: (what: string) => Error;
  readonly onWarning: (what: string) => void;
}

/**
 * The root of the API at a host as hosts.toml names it: `mirror.lan`, `https://mirror.lan:5000/team`. Without a scheme it is
 * https, and on loopback perhaps http. Where settings for TLS stand beside http, https is tried first, as in containerd.
 */
export function parseHostAddress(
  address: string,
  { overridePath, hasTls, fault, onWarning }: HostAddressOptions,
): { base: URL; mayBePlain: boolean } {
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\//i.exec(address) ?? [];
  if (scheme !== undefined && !/^https?$/i.test(scheme)) {
    throw fault(`has the scheme ${scheme}, and landfall speaks only http and https to a registry`);
  }
  const text = scheme === undefined ? `https://${address}` : address;
  if (!/^https?:\/\/[^/\\?#\s]/i.test(text) || !URL.canParse(text))
    throw fault('is not the address of a host');
  const given = new URL(text);
  if (given.username !== '' || given.password !== '') {
    onWarning('has a user, which is ignored; give credentials in its table landfall');
  }
  if (given.search !== '' || given.hash !== '') onWarning('has a query, which is ignored');
  const base = new URL(given.origin);
  // What everybody calls docker.io answers at another address.
  if (base.host === 'docker.io') base.host = 'registry-1.docker.io';
  base.pathname = rootOf(given.pathname, overridePath);
  const isGuess = scheme === undefined && isLoopback(base.host);
  const isDoubtful = base.protocol === 'http:' && base.port !== '' && hasTls;
  if (isDoubtful) base.protocol = 'https:';
  return { base, mayBePlain: isGuess || isDoubtful };
}

function rootOf(path: string, overridePath: boolean): string {
  const clean = posix.normalize(path).replace(/\/$/, '');
  return overridePath || clean.endsWith('/v2') ? clean : `${clean}/v2`;
}
