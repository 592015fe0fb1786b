import { describe, expect, it } from 'vitest';

import {
  ACCEPTED_MANIFEST_TYPES,
  bareMediaType,
  compressionOf,
  isConfigType,
  isDockerSchema1,
  isIndexType,
  isLayerType,
  isManifestType,
  isNonDistributable,
  MEDIA_TYPES as T,
} from '../../src/spec/index.js';

const KINDS = { isIndexType, isManifestType, isConfigType, isLayerType, isNonDistributable, isDockerSchema1 };
type Kind = keyof typeof KINDS;

describe('every media type is of its kinds and of no other', () => {
  const rows: Record<keyof typeof T, Kind[]> = {
    ociIndex: ['isIndexType'],
    ociManifest: ['isManifestType'],
    ociConfig: ['isConfigType'],
    ociLayer: ['isLayerType'],
    ociLayerGzip: ['isLayerType'],
    ociLayerZstd: ['isLayerType'],
    ociNonDistributableLayer: ['isLayerType', 'isNonDistributable'],
    ociNonDistributableLayerGzip: ['isLayerType', 'isNonDistributable'],
    ociNonDistributableLayerZstd: ['isLayerType', 'isNonDistributable'],
    ociEmpty: [],
    dockerList: ['isIndexType'],
    dockerManifest: ['isManifestType'],
    dockerConfig: ['isConfigType'],
    dockerLayer: ['isLayerType'],
    dockerLayerGzip: ['isLayerType'],
    dockerLayerZstd: ['isLayerType'],
    dockerForeignLayer: ['isLayerType', 'isNonDistributable'],
    dockerForeignLayerGzip: ['isLayerType', 'isNonDistributable'],
    dockerSchema1: ['isDockerSchema1'],
    dockerSchema1Signed: ['isDockerSchema1'],
  };
  it.each(Object.entries(rows))('%s', (name, kinds) => {
    const mediaType = T[name as keyof typeof T];
    const found = (Object.keys(KINDS) as Kind[]).filter((kind) => KINDS[kind](mediaType));
    expect(found).toEqual(kinds);
  });
});

describe('the compression of', () => {
  it.each([
    [T.ociLayer, 'none'],
    [T.ociLayerGzip, 'gzip'],
    [T.ociLayerZstd, 'zstd'],
    [T.ociNonDistributableLayer, 'none'],
    [T.ociNonDistributableLayerGzip, 'gzip'],
    [T.ociNonDistributableLayerZstd, 'zstd'],
    [T.dockerLayer, 'none'],
    [T.dockerLayerGzip, 'gzip'],
    [T.dockerLayerZstd, 'zstd'],
    [T.dockerForeignLayer, 'none'],
    [T.dockerForeignLayerGzip, 'gzip'],
    ['application/vnd.cncf.helm.chart.content.v1.tar+gzip', 'gzip'],
    ['application/vnd.oci.image.layer.v1.tar+gzip+encrypted', undefined],
    ['application/vnd.oci.image.layer.v1.tar+xz', undefined],
    [T.ociConfig, undefined],
    ['', undefined],
  ])('%s is %s', (mediaType, compression) => {
    expect(compressionOf(mediaType)).toBe(compression);
  });
});

it('both forms of manifest and of index are accepted, schema 1 is not', () => {
  expect([...ACCEPTED_MANIFEST_TYPES].sort()).toEqual(
    [T.ociIndex, T.ociManifest, T.dockerList, T.dockerManifest].sort(),
  );
});

it.each([
  ['application/json', 'application/json'],
  ['Application/JSON; charset=utf-8', 'application/json'],
  [' text/plain ;q=1;x=2', 'text/plain'],
  ['', ''],
])('bare %j is %j', (contentType, bare) => {
  expect(bareMediaType(contentType)).toBe(bare);
});
