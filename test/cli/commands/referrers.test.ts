import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { formatSize, MEDIA_TYPES } from '../../../src/spec/index.js';
import { run, SBOM, type ServedLists, serveLists, SIGNATURE } from './serve-lists.js';

describe('referrers', () => {
  let served: ServedLists;
  beforeAll(async () => {
    served = await serveLists();
  });
  afterAll(() => served[Symbol.asyncDispose]());

  test.each(['', 'docker://'])('draws a tree of %sREFERENCE', async (prefix) => {
    const { host, image, sbom, signature } = served;
    const { code, out, err } = await run('referrers', `${prefix}${host}/team/app:1`);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.split('\n')).toEqual([
      `${host}/team/app@${image.digest}`,
      `└─ ${SBOM}          ${sbom.digest}  ${formatSize(sbom.size)}  2025-01-01T00:00:00Z`,
      `   └─ ${SIGNATURE}  ${signature.digest}  ${formatSize(signature.size)}`,
      '',
    ]);
  });

  test('as JSON', async () => {
    const { host, image, sbom, signature } = served;
    const { out } = await run('referrers', '--output', 'json', `${host}/team/app:1`);
    expect(JSON.parse(out)).toEqual({
      reference: `${host}/team/app:1`,
      digest: image.digest,
      mediaType: MEDIA_TYPES.ociManifest,
      size: image.size,
      referrers: [
        {
          ...sbom,
          artifactType: SBOM,
          annotations: { 'org.opencontainers.image.created': '2025-01-01T00:00:00Z' },
          referrers: [{ ...signature, artifactType: SIGNATURE, annotations: {}, referrers: [] }],
        },
      ],
      cosignTags: [],
    });
  });

  test('by the tags of cosign, too', async () => {
    const { host, image, signature, tag } = served;
    const cosign = `${image.digest.replace(':', '-')}.sig`;
    tag(cosign, signature);
    const { out } = await run('referrers', `${host}/team/app:1`);
    expect(out.trimEnd().split('\n').at(-1)).toMatch(/^└─ signatures \(cosign's tag\) .* sha256:/);
    const { out: json } = await run('referrers', '--output', 'json', `${host}/team/app:1`);
    const { digest, mediaType, size } = signature;
    expect(JSON.parse(json)).toMatchObject({ cosignTags: [{ tag: cosign, digest, mediaType, size }] });
  });

  test.each([
    [SBOM, 3],
    [SIGNATURE, 2],
  ])('of type %s are on %i lines', async (type, lines) => {
    const { out } = await run('referrers', '--artifact-type', type, `${served.host}/team/app:1`);
    expect(out.trimEnd().split('\n')).toHaveLength(lines);
  });

  test('of what is not there', async () => {
    const { code, out, err } = await run('referrers', `${served.host}/team/app:9`);
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(err).toContain('not found');
  });
});
