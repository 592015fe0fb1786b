import { compressionOf, type Digest } from '../../spec/index.js';
import type { Warnings } from '../warnings.js';
import type { Compression } from './decompress.js';

const WORDS: Readonly<Record<Compression, string>> = {
  none: 'not compressed',
  gzip: 'compressed with gzip',
  zstd: 'compressed with zstd',
};

/** Warns where a layer's bytes are not what its media type says; they are what counts. */
export function warnOfCompression(
  found: Compression,
  layer: { readonly digest: Digest; readonly mediaType: string },
  warnings: Warnings,
): void {
  const said = compressionOf(layer.mediaType);
  if (said === undefined || said === found) return;
  warnings.once(
    'compression',
    `layer ${layer.digest} is ${WORDS[found]}, though its media type says ${layer.mediaType}`,
  );
}
