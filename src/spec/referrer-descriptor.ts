import type { Descriptor } from './descriptor.js';
import type { ImageIndex, ImageManifest } from './manifest.js';

/**
 * How a list of referrers names a manifest or an index: with its type of artifact and its own annotations
 * (distribution-spec: Listing Referrers).
 */
export function referrerDescriptor(
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  document: ImageManifest | ImageIndex,
): Descriptor {
  const own = document.artifactType ?? '';
  const artifactType = own === '' && document.kind === 'manifest' ? document.config.mediaType : own;
  const { mediaType, annotations } = document;
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === '' ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}
