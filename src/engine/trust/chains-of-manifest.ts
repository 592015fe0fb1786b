import type { Abortable } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  type Descriptor,
  type Digest,
  LIMITS,
  parseImageConfig,
  parseManifest,
  type Reference,
} from '../../spec/index.js';
import { fetchVerified } from '../fetch-document.js';
import { imageLayers } from '../fetch-graph.js';
import { readVerified } from '../read-document.js';
import type { StoreParts } from '../store.js';

/**
 * What the layers of a manifest become, bottom first: from what is here, else from its registry. Both are verified, so that nobody can
 * pass layers off as those of an image to which they do not belong.
 *
 * Errors: those of resolving and of reading documents; INVALID_MANIFEST
 */
export async function chainsOfManifest(
  { content, documents }: Pick<StoreParts, 'content' | 'documents'>,
  registry: Pick<RegistryClient, 'resolver' | 'repository'>,
  reference: Pick<Reference, 'registry' | 'repository'> & { readonly digest: Digest },
  { signal }: Abortable,
): Promise<readonly Digest[]> {
  const { digest } = reference;
  const recorded = (await documents.get(digest))?.chainIds ?? [];
  if (recorded.length > 0) return recorded;
  const repository = registry.repository(reference);
  const read = async (descriptor: Descriptor, maxBytes: number): Promise<Buffer> =>
    (await content.info(descriptor.digest)) === undefined
      ? await fetchVerified(repository, descriptor, maxBytes, { signal })
      : await readVerified(content, descriptor, maxBytes);
  const descriptor = await registry.resolver().resolve(reference, { signal });
  const manifest = parseManifest(await read(descriptor, LIMITS.manifestBytes), descriptor.mediaType);
  if (manifest.kind === 'index') return [];
  const config = parseImageConfig(await read(manifest.config, LIMITS.configBytes));
  return imageLayers(manifest, config).map(({ chainId }) => chainId);
}
