import { beforeEach, describe, expect, it } from 'vitest';

import { encodedOf } from '../../../src/spec/index.js';
import { CatalogueFixture } from './catalogue-fixture.js';

const NGINX = 'docker.io/library/nginx';
const SIGNATURE = 'application/vnd.dev.cosign.artifact.sig.v1+json';

describe('the catalogue of a mirror', () => {
  let fixture: CatalogueFixture;
  beforeEach(() => {
    fixture = new CatalogueFixture();
  });

  it('tells of each image what it is', async () => {
    fixture.add(`${NGINX}:1`, { platforms: ['linux/amd64', 'linux/arm64'], layers: 3, layerSize: 1_000_000 });
    const { images, repositories } = await fixture.catalogue();
    expect(images).toMatchObject([
      { familiar: 'nginx:1', repository: NGINX, platforms: ['linux/amd64', 'linux/arm64'], layers: [3, 3] },
    ]);
    expect(images[0]?.size).toBeGreaterThan(6_000_000);
    expect(images[0]?.size).toBeLessThan(6_010_000);
    expect(repositories).toBe(1);
  });

  it('counts a blob of several images once in all', async () => {
    const target = fixture.add(`${NGINX}:1`, { layerSize: 1_000_000 });
    fixture.name(`${NGINX}:2`, target);
    const { images, size } = await fixture.catalogue();
    expect(images).toHaveLength(2);
    expect(size).toBe(images[0]?.size);
  });

  it('leaves out what of an index was not brought', async () => {
    const target = fixture.add(`${NGINX}:1`, {
      platforms: ['linux/amd64', 'linux/arm64'],
      layerSize: 1_000_000,
    });
    const arm = [...fixture.documents.values()].find(({ platform }) => platform === 'linux/arm64');
    if (arm !== undefined) fixture.documents.delete(arm.digest);
    const { images } = await fixture.catalogue();
    expect(images[0]?.platforms).toEqual(['linux/amd64']);
    expect(images[0]?.target).toEqual(target);
    expect(images[0]?.size).toBeLessThan(2_010_000);
  });

  it('shows what refers to an image, or to a part of it, with that image', async () => {
    const target = fixture.add(`${NGINX}:1`, { platforms: ['linux/amd64', 'linux/arm64'] });
    const [amd] = [...fixture.documents.values()].filter(({ platform }) => platform === 'linux/amd64');
    const signature = fixture.refer(target, SIGNATURE);
    if (amd !== undefined) {
      const { digest, mediaType } = amd;
      fixture.refer({ digest, mediaType, size: 1 }, 'application/spdx+json');
    }
    fixture.name(`${NGINX}@${signature.digest}`, signature);
    const { images } = await fixture.catalogue();
    expect(images.map(({ name }) => name)).toEqual([`${NGINX}:1`]);
    expect(images[0]?.referrers.map(({ kind, type }) => [kind, type])).toEqual([
      ['signature', SIGNATURE],
      ['SBOM', 'application/spdx+json'],
    ]);
  });

  it('takes tags that cosign makes for what they are', async () => {
    const target = fixture.add(`${NGINX}:1`);
    for (const suffix of ['sig', 'att', 'sbom']) {
      fixture.add(`${NGINX}:sha256-${encodedOf(target.digest)}.${suffix}`, { layers: suffix.length });
    }
    const { images } = await fixture.catalogue();
    expect(images.map(({ name }) => name)).toEqual([`${NGINX}:1`]);
    expect(images[0]?.referrers.map(({ kind }) => kind).sort()).toEqual(['SBOM', 'attestation', 'signature']);
  });

  it('shows a signature once that is on record for what it signs and has its tag', async () => {
    const target = fixture.add(`${NGINX}:1`);
    const signature = fixture.refer(target, 'application/vnd.oci.image.config.v1+json');
    fixture.name(`${NGINX}:sha256-${encodedOf(target.digest)}.sig`, signature);
    const { images } = await fixture.catalogue();
    expect(images[0]?.referrers.map(({ digest, kind }) => [digest, kind])).toEqual([
      [signature.digest, 'signature'],
    ]);
  });

  it('shows such a tag by itself where its image is not here', async () => {
    const name = `${NGINX}:sha256-${'0'.repeat(64)}.sig`;
    fixture.add(name);
    expect((await fixture.catalogue()).images.map((image) => image.name)).toEqual([name]);
  });
});
