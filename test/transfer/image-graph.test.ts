import { expect, test } from 'vitest';
import { type Descriptor, MEDIA_TYPES, type Platform } from '../../src/spec/index.js';
import { imageGraph } from '../../src/transfer/transports/image-graph.js';
import { RepositoryContent } from '../../src/transfer/copy/repository-content.js';
import { addImage, addIndex, AMD64, ARM64, S390X } from '../support/memory-images.js';
import { MemoryTransport } from '../support/memory-transport.js';

/** Somewhat less than a manifest may have. */
const LARGE = 'x'.repeat(4_000_000);

test('documents that together are larger than those of any honest image are not all read', async () => {
  const repository = new MemoryTransport('registry.test').repository('team/app');
  const { config, layers } = { config: addImage(repository), layers: [] };
  const manifests = Array.from({ length: 12 }, (_, number) => {
    const text = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers };
    const annotations = { number: String(number), large: LARGE };
    return repository.add(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify({ ...text, annotations })));
  });
  const target = addIndex(
    repository,
    manifests.map((manifest) => [manifest]),
  );
  const warnings: string[] = [];
  const graph = await imageGraph(target, {
    repository,
    content: new RepositoryContent(repository),
    isLocal: false,
    referrers: false,
    onWarning: (message) => warnings.push(message),
  });
  expect(graph.children.filter(({ children }) => children.length > 0)).toHaveLength(8);
  expect(graph.children).toHaveLength(12);
  expect(warnings).toEqual([expect.stringMatching(/beyond 32 MiB of them are not shown/)]);
});

test('of an index that says no platforms, the images are shown whose configs are for the one that is asked for', async () => {
  const repository = new MemoryTransport('registry.test').repository('team/app');
  const of = (platform: Platform): Descriptor =>
    addImage(repository, { platform, layers: [platform.architecture] });
  const [other, image] = [of(ARM64), of(AMD64)];
  const config = repository.add(MEDIA_TYPES.ociEmpty, Buffer.from('{}'));
  const artifact = repository.add(
    MEDIA_TYPES.ociManifest,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: [] })),
  );
  const stated = of(S390X);
  const target = addIndex(repository, [[artifact], [other], [image], [stated, S390X]]);
  const shown = async (platform: Platform): Promise<unknown> => {
    const content = new RepositoryContent(repository);
    const o = { repository, content, isLocal: false, referrers: false, platform };
    return (await imageGraph(target, o)).children.map(({ descriptor: { digest } }) => digest);
  };
  expect(await shown(AMD64)).toEqual([artifact.digest, image.digest]);
  expect(await shown(ARM64)).toEqual([artifact.digest, other.digest]);
  // What says so is for it; what says nothing may be for anything.
  expect(await shown(S390X)).toEqual([artifact, other, image, stated].map(({ digest }) => digest));
});
