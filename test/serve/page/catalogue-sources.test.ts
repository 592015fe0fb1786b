import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { OciLayout } from '../../../src/content/index.js';
import { recordManifests } from '../../../src/engine/images/image.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { LayoutSource } from '../../../src/serve/index.js';
import { SourceCatalogue, StoreCatalogue } from '../../../src/serve/page/store-catalogue.js';
import { type Descriptor, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

const NAME = 'docker.io/library/tiny:1';
const PLATFORMS = ['linux/amd64', 'linux/arm64'];

describe('the catalogue', () => {
  let work: string;
  let layout: TinyLayout;
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-catalogue-'));
    layout = await makeTinyLayout(join(work, 'layout'), { tag: 'tiny:1', platforms: PLATFORMS });
  });
  afterEach(() => rm(work, { recursive: true }));

  describe('of a store', () => {
    let store: Store;
    let catalogue: StoreCatalogue;
    beforeEach(async () => {
      store = await openStore({ root: join(work, 'store'), workers: 1, snapshotter: 'native' });
      const { database, manifests: documents, catalog: images, content } = store;
      catalogue = new StoreCatalogue({ database, documents: [documents], images, content });
    });
    afterEach(() => store.close());

    const put = async (bytes: Buffer, mediaType = 'any'): Promise<Descriptor> => {
      const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length };
      const writer = await store.content.ingest(descriptor);
      await writer?.write(0, bytes);
      await writer?.commit();
      return descriptor;
    };
    const add = async (name: string): Promise<void> => {
      for (const bytes of layout.blobs.values()) await put(bytes);
      await recordManifests(store, layout.target);
      await store.images.put({ name, target: layout.target });
    };

    it('tells of its images, and the same while nothing changes', async () => {
      await add(NAME);
      const first = await catalogue.catalogue();
      expect(first.images).toMatchObject([{ name: NAME, platforms: PLATFORMS, layers: [2, 2] }]);
      expect(first.images[0]?.since).toBeInstanceOf(Date);
      await store.images.touch(NAME);
      expect(await catalogue.catalogue()).toBe(first);
    });

    it('tells of what comes, moves and goes', async () => {
      const names = async (): Promise<string[]> =>
        (await catalogue.catalogue()).images.map(({ name }) => name);
      expect(await names()).toEqual([]);
      await add(NAME);
      expect(await names()).toEqual([NAME]);
      await add('docker.io/library/tiny:2');
      expect(await names()).toHaveLength(2);
      await store.images.delete(NAME);
      expect(await names()).toEqual(['docker.io/library/tiny:2']);
    });

    it('is not made anew all the time where that takes long', async () => {
      await add(NAME);
      const { database, manifests: documents, catalog: images, content } = store;
      // Each look at the clock takes a second, and so does making the catalogue.
      let now = 0;
      const slow = new StoreCatalogue({
        ...{ database, documents: [documents], images, content },
        now: () => (now += 1000),
      });
      const first = await slow.catalogue();
      await add('docker.io/library/tiny:2');
      expect(await slow.catalogue()).toBe(first);
      now += 60_000;
      expect((await slow.catalogue()).images).toHaveLength(2);
    });

    it('tells of what is added to an image', async () => {
      await add(NAME);
      await catalogue.catalogue();
      const signature = await put(
        Buffer.from(
          JSON.stringify({
            schemaVersion: 2,
            mediaType: MEDIA_TYPES.ociManifest,
            artifactType: 'application/vnd.cncf.notary.signature',
            config: await put(Buffer.from('{}'), 'application/vnd.oci.empty.v1+json'),
            layers: [],
            subject: layout.target,
          }),
        ),
        MEDIA_TYPES.ociManifest,
      );
      await recordManifests(store, signature);
      const { images } = await catalogue.catalogue();
      expect(images[0]?.referrers).toEqual([
        {
          ...{ digest: signature.digest, kind: 'signature', type: 'application/vnd.cncf.notary.signature' },
          verified: false,
        },
      ]);
      await store.verifications.put([
        {
          ...{ digest: layout.target.digest, name: NAME, requirement: layout.target.digest },
          ...{ policy: '/policy.json', scope: 'docker:', signedBy: 'key', identity: undefined },
          ...{ format: 'bundle', signature: signature.digest, verifiedAt: new Date(0) },
        },
      ]);
      expect((await catalogue.catalogue()).images[0]?.referrers).toMatchObject([{ verified: true }]);
    });
  });

  describe('of a layout', () => {
    it('tells the same of its images', async () => {
      const source = new LayoutSource(await OciLayout.open(layout.dir), layout.dir);
      const catalogue = new SourceCatalogue(source);
      const first = await catalogue.catalogue();
      expect(first.images).toMatchObject([{ name: NAME, platforms: PLATFORMS, layers: [2, 2] }]);
      expect(await catalogue.catalogue()).toBe(first);
    });
  });
});
