import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { SpecError } from '../../src/errors.js';
import {
  childrenOf,
  digestOf,
  type ImageIndex,
  type ImageManifest,
  LIMITS,
  MEDIA_TYPES as T,
  parseManifest,
} from '../../src/spec/index.js';
import { documentOf, refusalOf } from './refusal.js';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const CONFIG = { mediaType: T.ociConfig, digest: DIGEST, size: 2 };
const LAYER = { mediaType: T.ociLayerGzip, digest: DIGEST, size: 3 };
const CHILD = {
  mediaType: T.ociManifest,
  digest: DIGEST,
  size: 4,
  platform: { os: 'linux', architecture: 'amd64' },
};
const MANIFEST = { schemaVersion: 2, mediaType: T.ociManifest, config: CONFIG, layers: [LAYER] };
const INDEX = { schemaVersion: 2, mediaType: T.ociIndex, manifests: [CHILD] };

function without(document: object, ...keys: string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(document).filter(([key]) => !keys.includes(key)));
}

describe('a manifest is parsed', () => {
  it.each<[string, object, string | undefined, Partial<ImageManifest> & Record<string, unknown>]>([
    [
      'of OCI',
      MANIFEST,
      T.ociManifest,
      { mediaType: T.ociManifest, config: CONFIG as never, layers: [LAYER] as never },
    ],
    [
      'of Docker',
      { ...MANIFEST, mediaType: T.dockerManifest },
      T.dockerManifest,
      { mediaType: T.dockerManifest },
    ],
    ['that nothing described', MANIFEST, undefined, { mediaType: T.ociManifest }],
    [
      'that only its descriptor names',
      without(MANIFEST, 'mediaType'),
      T.dockerManifest,
      { mediaType: T.dockerManifest },
    ],
    [
      'that nothing names: by its fields',
      without(MANIFEST, 'mediaType'),
      undefined,
      { mediaType: T.ociManifest },
    ],
    ['with an empty media type', { ...MANIFEST, mediaType: '' }, undefined, { mediaType: T.ociManifest }],
    [
      'with a parameter to its type',
      MANIFEST,
      `${T.ociManifest}; charset=utf-8`,
      { mediaType: T.ociManifest },
    ],
    ['with a type that says nothing', MANIFEST, 'application/json', { mediaType: T.ociManifest }],
    [
      'with another that says nothing',
      without(MANIFEST, 'mediaType'),
      'text/plain',
      { mediaType: T.ociManifest },
    ],
    ['without a schema version', without(MANIFEST, 'schemaVersion'), undefined, { layers: [LAYER] as never }],
    ['without layers, as Go writes it', { ...MANIFEST, layers: null }, undefined, { layers: [] }],
    ['with an empty list of layers', { ...MANIFEST, layers: [] }, undefined, { layers: [] }],
    ['with layers of unknown type', { ...MANIFEST, layers: [{ ...LAYER, mediaType: 'a/b' }] }, undefined, {}],
    ['with annotations', { ...MANIFEST, annotations: { a: 'b' } }, undefined, { annotations: { a: 'b' } }],
    ['with a subject', { ...MANIFEST, subject: CHILD }, undefined, { subject: CHILD as never }],
    ['with null for what it lacks', { ...MANIFEST, subject: null, annotations: null }, undefined, {}],
    ['of an artifact', { ...MANIFEST, artifactType: 'a/b' }, undefined, { artifactType: 'a/b' }],
    ['with unknown fields', { ...MANIFEST, novel: [1] }, undefined, { novel: [1] }],
  ])('%s', (_, document, mediaType, expected) => {
    const parsed = parseManifest(documentOf(document), mediaType);
    expect(parsed).toMatchObject({ kind: 'manifest', ...expected });
    expect(Object.values(parsed)).not.toContain(null);
    expect(childrenOf(parsed)[0]).toEqual(CONFIG);
  });
});

describe('the config of a manifest', () => {
  it.each<[string, string, string, string]>([
    ['of Docker 1.10', T.dockerManifest, 'application/octet-stream', T.dockerConfig],
    ['of Docker, as some registries gave it', T.dockerManifest, 'application/json', T.dockerConfig],
    ['of Docker, as others did', T.dockerManifest, 'text/html', T.dockerConfig],
    ['of a plugin of Docker', T.dockerManifest, 'application/vnd.docker.plugin.v1+json', ''],
    [
      'of OCI, where any type that is none of an image is an artifact',
      T.ociManifest,
      'application/octet-stream',
      '',
    ],
  ])('%s', (_, mediaType, said, expected) => {
    const document = { ...MANIFEST, mediaType, config: { ...CONFIG, mediaType: said } };
    const parsed = parseManifest(documentOf(document), mediaType) as ImageManifest;
    expect(parsed.config).toEqual({ ...CONFIG, mediaType: expected === '' ? said : expected });
  });
});

describe('an index is parsed', () => {
  const attestation = { ...CHILD, platform: { os: 'unknown', architecture: 'unknown' } };
  it.each<[string, object, string | undefined, Partial<ImageIndex> & Record<string, unknown>]>([
    ['of OCI', INDEX, T.ociIndex, { mediaType: T.ociIndex, manifests: [CHILD] as never }],
    ['of Docker', { ...INDEX, mediaType: T.dockerList }, T.dockerList, { mediaType: T.dockerList }],
    [
      'that only its descriptor names',
      without(INDEX, 'mediaType'),
      T.dockerList,
      { mediaType: T.dockerList },
    ],
    ['that nothing names: by its fields', without(INDEX, 'mediaType'), undefined, { mediaType: T.ociIndex }],
    ['without manifests, as Go writes it', { ...INDEX, manifests: null }, undefined, { manifests: [] }],
    ['with an index within', { ...INDEX, manifests: [{ ...CHILD, mediaType: T.ociIndex }] }, undefined, {}],
    [
      'with an entry of unknown type',
      { ...INDEX, manifests: [{ ...CHILD, mediaType: 'a/b' }] },
      undefined,
      {},
    ],
    ['with an entry without platform', { ...INDEX, manifests: [without(CHILD, 'platform')] }, undefined, {}],
    [
      'with an attestation',
      { ...INDEX, manifests: [CHILD, attestation] },
      undefined,
      { manifests: [CHILD, attestation] as never },
    ],
    [
      'with a subject',
      { ...INDEX, subject: CHILD, artifactType: 'a/b' },
      undefined,
      { subject: CHILD as never },
    ],
    [
      'with unknown fields',
      { ...INDEX, novel: 1, annotations: { a: 'b' } },
      undefined,
      { novel: 1, annotations: { a: 'b' } },
    ],
  ])('%s', (_, document, mediaType, expected) => {
    const parsed = parseManifest(documentOf(document), mediaType);
    expect(parsed).toMatchObject({ kind: 'index', ...expected });
    expect(childrenOf(parsed)).toEqual(((document as { manifests: unknown }).manifests ?? []) as never);
  });
});

describe('the children of a manifest are its config and its layers, not its subject', () => {
  it('in order', () => {
    const layers = ['1', '2'].map((text) => ({ ...LAYER, digest: digestOf(Buffer.from(text)) }));
    const parsed = parseManifest(documentOf({ ...MANIFEST, layers, subject: CHILD }));
    expect(childrenOf(parsed)).toEqual([CONFIG, ...layers]);
  });
});

describe('a manifest is refused', () => {
  it.each<[string, object | string, string | undefined, string, RegExp]>([
    ['not JSON', '<html>', undefined, 'INVALID_MANIFEST', /not JSON/],
    ['a list', '[]', undefined, 'INVALID_MANIFEST', /the document must be an object/],
    ['null', 'null', undefined, 'INVALID_MANIFEST', /the document must be an object/],
    ['neither image nor index', '{}', undefined, 'INVALID_MANIFEST', /neither an image nor an index/],
    ['both image and index', { ...INDEX, config: CONFIG, layers: [] }, undefined, 'INVALID_MANIFEST', /both/],
    ['an index with layers', { ...INDEX, layers: [LAYER] }, T.ociIndex, 'INVALID_MANIFEST', /both/],
    ['an image with null manifests', { ...MANIFEST, manifests: null }, undefined, 'INVALID_MANIFEST', /both/],
    [
      'an image that calls itself an index',
      { ...MANIFEST, mediaType: T.ociIndex },
      undefined,
      'INVALID_MANIFEST',
      /has not the fields/,
    ],
    [
      'an index that calls itself an image',
      { ...INDEX, mediaType: T.ociManifest },
      undefined,
      'INVALID_MANIFEST',
      /has not the fields/,
    ],
    [
      'an index without manifests',
      { mediaType: T.ociIndex },
      undefined,
      'INVALID_MANIFEST',
      /has not the fields/,
    ],
    [
      'an image described as an index',
      without(MANIFEST, 'mediaType'),
      T.ociIndex,
      'INVALID_MANIFEST',
      /has not the fields/,
    ],
    [
      'described as another type',
      MANIFEST,
      T.dockerManifest,
      'INVALID_MANIFEST',
      /calls itself .*oci.* described as .*docker/,
    ],
    [
      'of schema version 3',
      { ...MANIFEST, schemaVersion: 3 },
      undefined,
      'INVALID_MANIFEST',
      /schemaVersion must be 2/,
    ],
    [
      'of schema version "2"',
      { ...MANIFEST, schemaVersion: '2' },
      undefined,
      'INVALID_MANIFEST',
      /schemaVersion must be 2/,
    ],
    [
      'with a media type that is a number',
      { ...MANIFEST, mediaType: 7 },
      undefined,
      'INVALID_MANIFEST',
      /mediaType must be a string/,
    ],
    [
      'without a config',
      without(MANIFEST, 'config'),
      undefined,
      'INVALID_MANIFEST',
      /config must be an object/,
    ],
    [
      'with a null config',
      { ...MANIFEST, config: null },
      undefined,
      'INVALID_MANIFEST',
      /config must be an object/,
    ],
    ['without layers', without(MANIFEST, 'layers'), undefined, 'INVALID_MANIFEST', /layers is missing/],
    [
      'with layers that are an object',
      { ...MANIFEST, layers: {} },
      undefined,
      'INVALID_MANIFEST',
      /layers must be a list/,
    ],
    [
      'with a null layer',
      { ...MANIFEST, layers: [LAYER, null] },
      undefined,
      'INVALID_MANIFEST',
      /layers\[1\] must be an object/,
    ],
    [
      'with a negative size',
      { ...MANIFEST, layers: [{ ...LAYER, size: -1 }] },
      undefined,
      'INVALID_MANIFEST',
      /layers\[0\].size must/,
    ],
    [
      'with a bad digest',
      { ...MANIFEST, layers: [{ ...LAYER, digest: 'x' }] },
      undefined,
      'INVALID_DIGEST',
      /layers\[0\].digest/,
    ],
    [
      'with a bad subject',
      { ...MANIFEST, subject: {} },
      undefined,
      'INVALID_MANIFEST',
      /subject.mediaType is missing/,
    ],
    [
      'with an annotation that is no string',
      { ...MANIFEST, annotations: { a: true } },
      undefined,
      'INVALID_MANIFEST',
      /annotations\["a"\]/,
    ],
    [
      'with layers in two cases',
      { ...MANIFEST, Layers: [] },
      undefined,
      'INVALID_MANIFEST',
      /layers stands twice/,
    ],
    [
      'with layers twice',
      '{"config":{},"layers":[],"layers":[]}',
      undefined,
      'INVALID_MANIFEST',
      /same key twice/,
    ],
    [
      'with too many layers',
      { ...MANIFEST, layers: Array.from({ length: LIMITS.manifestLayers + 1 }, () => LAYER) },
      undefined,
      'LIMIT_EXCEEDED',
      /layers has 10001/,
    ],
    [
      'with too many manifests',
      { ...INDEX, manifests: Array.from({ length: LIMITS.indexManifests + 1 }, () => LAYER) },
      undefined,
      'LIMIT_EXCEEDED',
      /manifests has 10001/,
    ],
    [
      'too large',
      `{"a":"${'x'.repeat(LIMITS.manifestBytes)}"}`,
      undefined,
      'LIMIT_EXCEEDED',
      /more than 4\.2 MB/,
    ],
    [
      'of another artifact',
      { mediaType: 'application/vnd.oci.artifact.manifest.v1+json', blobs: [] },
      undefined,
      'UNSUPPORTED_MEDIA_TYPE',
      /neither an image manifest nor an index/,
    ],
    [
      'described as another artifact',
      without(MANIFEST, 'mediaType'),
      'application/vnd.example+json',
      'UNSUPPORTED_MEDIA_TYPE',
      /vnd.example/,
    ],
  ])('%s', (_, document, mediaType, code, message) => {
    const refusal = refusalOf(() => parseManifest(documentOf(document), mediaType));
    expect(refusal.code).toBe(code);
    expect(refusal.message).toMatch(message);
  });
});

describe('Docker schema 1 is refused with what to do about it', () => {
  const body = { schemaVersion: 1, name: 'a/b', tag: '1', fsLayers: [{ blobSum: DIGEST }], history: [] };
  it.each<[string, object | string, string | undefined]>([
    ['by its version', body, undefined],
    ['by its version, under a type that says nothing', body, 'application/json'],
    ['by its own type', { mediaType: T.dockerSchema1Signed }, undefined],
    ['by its Content-Type', body, T.dockerSchema1],
    ['by its Content-Type, signed', body, `${T.dockerSchema1Signed}; charset=utf-8`],
    ['by its Content-Type, whatever the bytes', 'rubbish', T.dockerSchema1Signed],
  ])('%s', (_, document, mediaType) => {
    const refusal = refusalOf(() => parseManifest(documentOf(document), mediaType));
    expect(refusal.code).toBe('UNSUPPORTED_MEDIA_TYPE');
    expect(refusal.hint).toContain('skopeo copy --format oci');
  });
});

it('whatever stands in the place of a field, the answer is a document or a refusal of ours', () => {
  const documents = [
    { ...MANIFEST, subject: CHILD, annotations: { a: 'b' } },
    { ...INDEX, manifests: [{ ...CHILD, urls: ['a'], annotations: { a: 'b' } }] },
  ];
  fc.assert(
    fc.property(fc.constantFrom(...documents), fc.nat(40), fc.jsonValue(), (document, nth, value) => {
      let at = 0;
      const changed = JSON.stringify(document, (_, field: unknown) => (at++ === nth ? value : field));
      try {
        const parsed = parseManifest(documentOf(changed));
        for (const child of childrenOf(parsed)) expect(child.digest).toContain(':');
      } catch (error) {
        expect(error).toBeInstanceOf(SpecError);
      }
    }),
    { numRuns: 1000 },
  );
});

it('parsing leaves the bytes as they were', () => {
  const bytes = documentOf(` ${JSON.stringify({ ...MANIFEST, layers: null }, null, 3)}\n`);
  const before = digestOf(bytes);
  parseManifest(bytes);
  expect(digestOf(bytes)).toBe(before);
});
