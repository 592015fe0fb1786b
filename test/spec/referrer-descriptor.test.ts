import { describe, expect, test } from 'vitest';
import { digestOf, MEDIA_TYPES, parseManifest, referrerDescriptor } from '../../src/spec/index.js';

describe('how a list of referrers names a manifest', () => {
  const empty = { mediaType: MEDIA_TYPES.ociEmpty, digest: digestOf(Buffer.from('{}')), size: 2 };
  const signed = { mediaType: 'application/x-config', digest: empty.digest, size: 2 };
  const annotations = { 'org.example.note': 'kept' };
  const document = (fields: object): Buffer =>
    Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, layers: [], ...fields }),
    );

  test.each<[string, Buffer, object]>([
    ['by its own type', document({ config: empty, artifactType: 'a/b' }), { artifactType: 'a/b' }],
    ['by that of its config', document({ config: signed }), { artifactType: 'application/x-config' }],
    [
      'by that of its config, its own being empty',
      document({ config: signed, artifactType: '' }),
      { artifactType: 'application/x-config' },
    ],
    [
      'with its annotations',
      document({ config: empty, artifactType: 'a/b', annotations }),
      { artifactType: 'a/b', annotations },
    ],
    [
      'as an index, which has no config',
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] })),
      {},
    ],
  ])('%s', (_, bytes, info) => {
    const parsed = parseManifest(bytes);
    const named = { digest: digestOf(bytes), size: bytes.length };
    expect(referrerDescriptor(named, parsed)).toEqual({ mediaType: parsed.mediaType, ...named, ...info });
  });
});
