import { expect, test } from 'vitest';
import { type ImageLayer, requireUnpackable } from '../../../src/engine/images/image.js';
import { type Descriptor, digestOf, LIMITS, MEDIA_TYPES, unpackLimits } from '../../../src/spec/index.js';

const DIGEST = digestOf(Buffer.from('layer'));

function layer(mediaType: string = MEDIA_TYPES.ociLayerGzip): ImageLayer {
  const descriptor: Descriptor = { mediaType, digest: DIGEST, size: 5 };
  return { descriptor, diffId: DIGEST, chainId: DIGEST };
}

function layers(count: number): ImageLayer[] {
  return Array.from({ length: count }, () => layer());
}

test('as many layers as one overlay mount can hold, and no more', () => {
  expect(() => requireUnpackable(layers(LIMITS.layers), unpackLimits())).not.toThrow();
  expect(() => requireUnpackable(layers(LIMITS.layers + 1), unpackLimits())).toThrow(
    expect.objectContaining({ code: 'LIMIT_EXCEEDED', details: { actual: 501, limit: 500 } }),
  );
});

test('the limit can be set', () => {
  expect(() => requireUnpackable(layers(3), unpackLimits({ layers: 2 }))).toThrow(
    expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
  );
  expect(() => requireUnpackable(layers(600), unpackLimits({ layers: 600 }))).not.toThrow();
});

test('what is no file system changeset is refused', () => {
  const odd = [layer(), layer('application/vnd.example+json')];
  expect(() => requireUnpackable(odd, unpackLimits())).toThrow(
    expect.objectContaining({ code: 'UNSUPPORTED_MEDIA_TYPE' }),
  );
});
