import { expect, test } from 'vitest';
import { MEDIA_TYPES } from '../../src/spec/index.js';
import { imageGraph } from '../../src/transfer/image-graph.js';
import { RepositoryContent } from '../../src/transfer/repository-content.js';
import { addImage, addIndex } from '../support/memory-images.js';
import { MemoryPlace } from '../support/memory-place.js';

/** Somewhat less than a manifest may have. */
const LARGE = 'x'.repeat(4_000_000);

test('documents that together are larger than those of any honest image are not all read', async () => {
  const repository = new MemoryPlace('registry.test').repository('team/app');
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
  expect(warnings).toEqual([expect.stringMatching(/beyond 32 MiB of them is not shown/)]);
});
