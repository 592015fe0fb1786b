import { posix } from 'node:path';

import { isDigest, isVerifiable, quoted } from '../../spec/index.js';

type Check = (scope: string) => string | undefined;

const anything: Check = () => undefined;

/** The transport's own default, `''`, would have the meaning of `/` too, and one of them would hide the other. */
const path: Check = (scope) => {
  if (!scope.startsWith('/')) return 'it has to be an absolute path';
  if (scope === '/') return 'write "" for all that the transport has';
  const canonical = posix.resolve(scope);
  return canonical === scope ? undefined : `write it as ${quoted(canonical)}`;
};

const nothing: Check = () => 'it has none but ""';

const name: Check = (scope) =>
  isDigest(scope) && isVerifiable(scope) ? 'it may not be a digest' : undefined;

/**
 * What peers ask of scopes, also of transports that no image comes by here: they share the file. What they ask of those of atomic and
 * containers-storage depends on how they were built.
 */
const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['docker', anything],
  ['oci', path],
  ['oci-archive', path],
  ['docker-archive', nothing],
  ['dir', path],
  ['sif', path],
  ['tarball', nothing],
  ['docker-daemon', name],
]);

/** Why a transport cannot have a scope (containers-policy.json(5): Supported transports and their scopes); undefined where it can. */
export function scopeFault(transport: string, scope: string): string | undefined {
  return scope === '' ? undefined : (CHECKS.get(transport) ?? anything)(scope);
}
