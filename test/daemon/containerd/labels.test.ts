import { describe, expect, it } from 'vitest';
import { childLabels } from '../../../src/daemon/containerd/labels.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';

const descriptor = (mediaType: string, text: string): Descriptor => ({
  mediaType,
  digest: digestOf(Buffer.from(text)),
  size: 1,
});
/** What containerd calls a child, before its number. */
const CALLED: readonly [mediaType: string, key: string][] = [
  [MEDIA_TYPES.ociConfig, 'config'],
  [MEDIA_TYPES.dockerConfig, 'config'],
  [MEDIA_TYPES.ociEmpty, '0'],
  [MEDIA_TYPES.ociLayerGzip, 'l.0'],
  [MEDIA_TYPES.ociLayerZstd, 'l.0'],
  [MEDIA_TYPES.ociNonDistributableLayer, 'l.0'],
  [MEDIA_TYPES.dockerLayer, 'l.0'],
  [MEDIA_TYPES.dockerLayerGzip, 'l.0'],
  [MEDIA_TYPES.dockerLayerZstd, '0'],
  [MEDIA_TYPES.dockerForeignLayerGzip, 'l.0'],
  [MEDIA_TYPES.ociManifest, 'm.0'],
  [MEDIA_TYPES.dockerManifest, 'm.0'],
  [MEDIA_TYPES.ociIndex, '0'],
];

describe('the labels that keep what a document names', () => {
  it.each(CALLED)('of %s are .%s', (mediaType, key) => {
    const child = descriptor(mediaType, 'child');
    const index = { kind: 'index', mediaType: MEDIA_TYPES.ociIndex, manifests: [child] } as const;
    expect(childLabels(index)).toEqual({ [`containerd.io/gc.ref.content.${key}`]: child.digest });
  });

  it('count each kind for itself', () => {
    const config = descriptor(MEDIA_TYPES.ociConfig, 'config');
    const layers = ['one', 'two'].map((text) => descriptor(MEDIA_TYPES.ociLayer, text));
    const other = descriptor('application/x-other', 'other');
    const manifest = { kind: 'manifest', mediaType: MEDIA_TYPES.ociManifest, config } as const;
    expect(childLabels({ ...manifest, layers: [...layers, other] })).toEqual({
      'containerd.io/gc.ref.content.config': config.digest,
      'containerd.io/gc.ref.content.l.0': layers[0]?.digest,
      'containerd.io/gc.ref.content.l.1': layers[1]?.digest,
      'containerd.io/gc.ref.content.0': other.digest,
    });
  });
});
