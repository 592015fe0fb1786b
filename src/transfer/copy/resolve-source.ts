import { type Abortable, ContentError, RegistryError } from '../../errors.js';
import type { BlobProvider } from '../../content/index.js';
import type { Descriptor } from '../../spec/index.js';
import type { SourceRepository } from '../transports/destination.js';

/**
 * What a source's name stands for. Errors: NOT_FOUND or BLOB_NOT_FOUND where it stands for nothing, and those
 * of the source.
 */
export async function resolveSource(
  source: SourceRepository,
  from: string,
  { signal }: Abortable = {},
): Promise<Descriptor> {
  const resolved = await source.resolve(from, { signal });
  if (resolved === undefined) throw notFound(source, from);
  return resolved;
}

function notFound(source: SourceRepository, from: string): RegistryError | ContentError {
  const message = `${source.location} has no ${from}`;
  const hint = 'Check the spelling of repository and tag.';
  return source.registry === undefined
    ? new ContentError('BLOB_NOT_FOUND', message, { hint })
    : new RegistryError('NOT_FOUND', message, { hint });
}

/**
 * {@link resolveSource} where the manifest is read next, through `content`, which keeps what it has read:
 * where a registry does not have it as HEAD has described it, it is asked by GET.
 */
export async function resolveReadable(
  source: SourceRepository,
  from: string,
  { content, signal }: Abortable & { readonly content: Pick<BlobProvider, 'open'> },
): Promise<Descriptor> {
  const target = await resolveSource(source, from, { signal });
  try {
    (await content.open(target)).destroy();
    return target;
  } catch (error) {
    // Loaded only here: a command that looks at what is in the store starts without what knows registries.
    const { isMisdescribed } = await import('../../registry/index.js');
    if (!isMisdescribed(error, target)) throw error;
    return (await source.resolve(from, { signal, byGet: true })) ?? target;
  }
}
