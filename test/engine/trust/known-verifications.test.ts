import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Verification } from '../../../src/content/index.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { indexesAbove } from '../../../src/engine/trust/manifest-paths.js';
import { knownVerifications } from '../../../src/engine/trust/signature-sources.js';
import { type Digest, digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { putImage, putIndex, putJson } from '../../support/stored-image.js';
import { recordManifests } from '../../../src/engine/images/image.js';

const NAME = 'registry.example/team/app:1';

describe('what a store knows of an image', () => {
  let work: string;
  let store: Store;

  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-known-'));
    store = await openStore({ root: join(work, 'store'), sync: 'none', workers: 1 });
  });
  afterEach(async () => {
    await store.close();
    await rm(work, { recursive: true });
  });

  const verified = async (digest: Digest, at: number): Promise<Verification> => {
    const one = {
      digest,
      name: NAME,
      requirement: 'sha256:asked',
      policy: '/etc/containers/policy.json',
      scope: 'default',
      signedBy: 'key sha256:0123',
      format: 'bundle',
      signature: digestOf(Buffer.from(`signature of ${digest}`)),
      verifiedAt: new Date(at),
    };
    await store.verifications.put([one]);
    return one;
  };

  it('is by whom it is signed: itself, and what its indexes lead to, the oldest first', async () => {
    const [one, other] = [
      await putImage(store, undefined, { layers: ['one'] }),
      await putImage(store, undefined, { layers: ['other'] }),
    ];
    const inner = await putIndex(store, undefined, [one.target]);
    const outer = await putIndex(store, NAME, [inner]);
    const known = [await verified(one.target.digest, 3), await verified(outer.digest, 1)];
    await verified(other.target.digest, 2);
    await verified(one.config.digest, 2);
    expect(await knownVerifications(store, outer)).toEqual(known.toReversed());
    expect(await knownVerifications(store, one.target)).toEqual(known.slice(0, 1));
    expect(await knownVerifications(store, other.target)).toHaveLength(1);
  });

  it('is that of an index too of which nothing else is here', async () => {
    const missing = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(Buffer.from('gone')), size: 4 };
    const index = await putIndex(store, undefined, [missing]);
    const known = await verified(missing.digest, 1);
    expect(await knownVerifications(store, index)).toEqual([known]);
    const gone = { mediaType: MEDIA_TYPES.ociIndex, digest: digestOf(Buffer.from('index')), size: 5 };
    expect(await knownVerifications(store, gone)).toEqual([]);
  });

  it('is which indexes lead to it, the nearest first, and not what lists it as a layer', async () => {
    const { target, config } = await putImage(store, undefined);
    const inner = await putIndex(store, undefined, [target]);
    const outer = await putIndex(store, undefined, [inner]);
    const artifact = await putJson(store, MEDIA_TYPES.ociManifest, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config,
      layers: [target],
    });
    await recordManifests(store, artifact);
    await putIndex(store, undefined, [artifact]);
    expect((await store.manifests.holders(target.digest)).map(({ digest }) => digest)).toContain(
      artifact.digest,
    );
    expect(await indexesAbove(store.manifests, target.digest)).toEqual([inner.digest, outer.digest]);
  });
});
