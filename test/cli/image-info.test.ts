import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { imageInfo, type ImageInfoOptions, renderImageInfo } from '../../src/cli/commands/inspect.js';
import type { LoadedImage } from '../../src/engine/images/image.js';
import { MEDIA_TYPES } from '../../src/spec/index.js';
import { NAME, TARGET, testLayers } from './pull-events.js';

const layers = testLayers(1_200_000, 3000).map(({ digest, size, diffId, chainId }) => ({
  descriptor: { mediaType: MEDIA_TYPES.ociLayerGzip, digest, size },
  diffId,
  chainId,
}));
const [lower, upper] = layers;
if (lower === undefined || upper === undefined) throw new Error('no layers');

const platform = { os: 'linux', architecture: 'amd64' };
const manifestDescriptor = { mediaType: MEDIA_TYPES.ociManifest, digest: lower.diffId, size: 500 };

function imageWith(history: LoadedImage['config']['history']): LoadedImage {
  return {
    manifestDescriptor,
    manifest: {
      kind: 'manifest',
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: TARGET, size: 300 },
      layers: layers.map(({ descriptor }) => descriptor),
      annotations: { note: 'one\u001b[2Jtwo' },
    },
    config: {
      ...platform,
      created: '2025-01-01T00:00:00Z',
      author: 'nobody',
      config: {
        User: 'nobody',
        Env: ['A=1', 'B=2'],
        Cmd: ['sh', '-c', 'a b'],
        ExposedPorts: { '80/tcp': {} },
        WorkingDir: '/',
        StopSignal: 'SIGTERM',
      },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      ...(history === undefined ? {} : { history }),
    },
    platform,
    imageId: TARGET,
    layers,
    chainId: upper?.chainId,
  };
}

const target = { mediaType: MEDIA_TYPES.ociIndex, digest: TARGET, size: 100 };

const PLATFORMS = { platforms: [platform], verifications: [] };
const SIGNED: ImageInfoOptions = {
  platforms: [platform],
  presence: [
    {
      blob: 'here',
      isUnpacked: true,
      unpackedSize: 2_000_000,
      images: [NAME, 'docker.io/library/a:1', 'docker.io/library/b:1'],
    },
    { blob: 'discarded', isUnpacked: true, unpackedSize: 5000, images: [NAME] },
  ],
  graph: {
    role: 'manifest',
    descriptor: target,
    uses: 1,
    isRepeated: false,
    children: [],
    referrers: [
      {
        role: 'manifest',
        descriptor: { mediaType: MEDIA_TYPES.ociManifest, digest: upper.diffId, size: 700 },
        artifactType: 'application/spdx+json',
        uses: 1,
        isRepeated: false,
        children: [],
        referrers: [],
      },
    ],
  },
  verifications: [
    {
      digest: TARGET,
      name: NAME,
      requirement: lower.diffId,
      policy: '/etc/containers/policy.json',
      scope: 'docker:quay.io/team',
      signedBy: 'key sha256:0123456789abcdef',
      identity: 'quay.io/team/app',
      format: 'simple-signing',
      signature: upper.diffId,
      verifiedAt: new Date('2026-01-02T03:04:05.678Z'),
    },
  ],
};

describe('inspect', () => {
  test.each([
    [
      'steps that made no layer are passed over',
      [{ created_by: 'a' }, { empty_layer: true }, { created_by: 'b' }],
      ['a', 'b'],
    ],
    ['a history that does not fit tells nothing', [{ created_by: 'a' }], [undefined, undefined]],
    ['nor does none', undefined, [undefined, undefined]],
  ])('%s', (_, history, steps) => {
    const info = imageInfo(NAME, target, imageWith(history), PLATFORMS);
    expect(info.layers.map(({ createdBy }) => createdBy)).toEqual(steps);
  });

  test('docs/json-output.md has every key', () => {
    const info = imageInfo(NAME, target, imageWith([{ created_by: 'a' }, { created_by: 'b' }]), SIGNED);
    const page = readFileSync('docs/json-output.md', 'utf8');
    const example = /^## inspect\n\n```json\n(.*?)^```/ms.exec(page)?.[1] ?? '';
    const documented = JSON.parse(example) as {
      config: object;
      layers: object[];
      manifests: object[];
      history: object[];
      referrers: object[];
      signatures: object[];
    };
    expect(Object.keys(documented)).toEqual(Object.keys(info));
    expect(Object.keys(documented.config).sort()).toEqual(Object.keys(info.config).sort());
    for (const list of ['manifests', 'layers', 'history', 'referrers', 'signatures'] as const) {
      expect(Object.keys(documented[list][0] ?? {}), list).toEqual(Object.keys(info[list][0] ?? {}));
      expect(info[list], list).not.toEqual([]);
    }
  });

  test('for people', () => {
    const text = renderImageInfo(
      imageInfo(
        NAME,
        target,
        imageWith([
          { created_by: 'copy  a\nb' },
          { empty_layer: true, created_by: 'env \u001b[2J' },
          { created_by: 'x'.repeat(120) },
        ]),
        SIGNED,
      ),
    );
    expect(text.split('\n')).toEqual([
      `Name     ${NAME}`,
      `Digest   ${TARGET}`,
      `Image ID ${TARGET}`,
      `Chain ID ${upper.chainId}`,
      '',
      `Media type   ${MEDIA_TYPES.ociIndex}`,
      'Platform     linux/amd64',
      'Here         linux/amd64',
      'Created      2025-01-01T00:00:00Z',
      'Author       nobody',
      'Size         1.2 MB in 2 layers, 2.0 MB unpacked',
      'User         nobody',
      'Command      ["sh","-c","a b"]',
      'Directory    /',
      'Ports        80/tcp',
      'Stop signal  SIGTERM',
      'Environment  A=1',
      '             B=2',
      'Annotations  note=one\\u001b[2Jtwo',
      'Signatures   key sha256:0123456789abcdef',
      '             docker:quay.io/team in /etc/containers/policy.json',
      '             verified on 2026-01-02',
      '',
      'Referrers',
      `  ${upper.diffId}`,
      '  application/spdx+json (700 B)',
      '',
      'Layers, the lowest first',
      `1  ${lower.descriptor.digest}`,
      '   1.2 MB, 2.0 MB unpacked, shared with docker.io/library/a:1 and 1 other',
      '   copy a b',
      '-  env \\u001b[2J',
      `2  ${upper.descriptor.digest}`,
      '   3.0 kB, 5.0 kB unpacked, blob dropped once unpacked',
      `   ${'x'.repeat(74)}…`,
      '',
    ]);
  });
});
