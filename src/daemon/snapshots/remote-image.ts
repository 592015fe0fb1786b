import {
  type Digest,
  formatReference,
  parseDigest,
  parseReference,
  type Reference,
} from '../../spec/index.js';
import type { Labels } from '../../unpack/index.js';
import { IMAGE_LABEL, MANIFEST_LABEL } from './snapshot-labels.js';

/** An image whose layers are brought for whoever prepares them one by one. */
export interface RemoteImage {
  /** Of the manifest. */
  readonly reference: Pick<Reference, 'registry' | 'repository'> & { readonly digest: Digest };
  /** As it was asked for, canonical: by which credentials are kept, and by which policies know it. */
  readonly asked: string;
}

/**
 * The image that the labels of a snapshot name; undefined where they name none, or nothing that could be pulled.
 */
export function remoteImageIn(labels: Labels): RemoteImage | undefined {
  const { [IMAGE_LABEL]: image, [MANIFEST_LABEL]: manifest } = labels;
  if (image === undefined || manifest === undefined) return undefined;
  try {
    const { registry, repository, ...asked } = parseReference(image, { defaultTag: true });
    return {
      reference: { registry, repository, digest: parseDigest(manifest) },
      asked: formatReference({ registry, repository, ...asked }),
    };
  } catch {
    return undefined;
  }
}
