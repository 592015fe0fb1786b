import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openStore } from '../../../src/engine/index.js';
import { PendingImages } from '../../../src/serve/pull-through/pending-images.js';
import {
  type Descriptor,
  digestOf,
  type ImageIndex,
  MEDIA_TYPES,
  parseManifest,
} from '../../../src/spec/index.js';

function indexOf(
  manifests: readonly Descriptor[],
  annotations: object,
): { at: Descriptor; index: ImageIndex } {
  const mediaType = MEDIA_TYPES.ociIndex;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests, annotations }));
  const index = parseManifest(bytes, mediaType);
  if (index.kind !== 'index') throw new Error('it is none');
  return { at: { mediaType, digest: digestOf(bytes), size: bytes.length }, index };
}

it('knows each index that leads to a manifest once, however many ways lead there', async () => {
  const root = await mkdtemp(join(tmpdir(), 'landfall-pending-'));
  await using store = await openStore({ root: join(root, 'store'), sync: 'none', workers: 1 });
  const pending = new PendingImages(store);
  const manifest = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(Buffer.from('image')), size: 5 };
  let below: readonly Descriptor[] = [manifest];
  // Two on each level that list both of the level below: a million ways up.
  for (let level = 0; level < 20; level += 1) {
    const two = ['left', 'right'].map((side) => indexOf(below, { side }));
    for (const { at, index } of two) await pending.add('registry.example/team/app', at, { document: index });
    below = two.map(({ at }) => at);
  }
  const found = pending.indexesOf(manifest.digest);
  expect(found).toHaveLength(40);
  expect(new Set(found.slice(0, 2))).toEqual(new Set(below.map(({ digest }) => digest)));
  await pending.close();
  await rm(root, { recursive: true, force: true });
});
