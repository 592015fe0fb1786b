import { ContentError, RegistryError } from '../errors.js';
import type { Descriptor } from '../spec/index.js';

/**
 * Whether an error says that a manifest cannot be had as it was described: it is not there, or of another
 * length. Then HEAD was wrong, or the registry has manifests by their tags alone, and GET tells more; see `Resolver.resolve`.
 */
export function isMisdescribed(error: unknown, { digest }: Pick<Descriptor, 'digest'>): boolean {
  if (error instanceof ContentError) {
    return error.code === 'SIZE_MISMATCH' && error.details.digest === digest;
  }
  if (!(error instanceof RegistryError) || (error.code !== 'NOT_FOUND' && error.code !== 'PROTOCOL'))
    return false;
  const { method, url = '' } = error.details;
  return method === 'GET' && url.endsWith(`/manifests/${digest}`);
}
