import { copyFile, link, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ImageRecipe, PublishedImage } from '../contract.js';
import type { StartedRegistry } from '../registry.js';
import type { ImageCache } from './image-cache.js';
import { blobPath, TAG } from './layout.js';

/**
 * Puts an image into a registry as it lies in its layout: into its storage, which is quicker than a push and
 * needs no program that could be missing.
 */
export async function publish(
  recipe: ImageRecipe,
  cache: ImageCache,
  { address, storage }: Pick<StartedRegistry, 'address' | 'storage'>,
): Promise<PublishedImage> {
  const { directory, manifest, config, layers } = await cache.layoutOf(recipe);
  const repository = `bench/${recipe.name}`;
  const place = new RepositoryStorage(storage, repository);
  for (const { digest } of [...layers, config]) {
    await place.addBlob(digest, blobPath(directory, digest));
    await place.link(['_layers', ...digest.split(':')], digest);
  }
  await place.addBlob(manifest.digest, blobPath(directory, manifest.digest));
  await place.link(['_manifests/revisions', ...manifest.digest.split(':')], manifest.digest);
  await place.link(['_manifests/tags', TAG, 'current'], manifest.digest);
  await place.link(['_manifests/tags', TAG, 'index', ...manifest.digest.split(':')], manifest.digest);
  return { repository, reference: `${address}/${repository}:${TAG}`, manifest, config, layers };
}

/**
 * How the registry of CNCF distribution keeps a repository in a file system (its registry/storage/paths.go).
 */
class RepositoryStorage {
  readonly #root: string;
  readonly #repository: string;

  constructor(storage: string, repository: string) {
    this.#root = join(storage, 'docker/registry/v2');
    this.#repository = join(this.#root, 'repositories', repository);
  }

  async addBlob(digest: string, from: string): Promise<void> {
    const [algorithm = '', hex = ''] = digest.split(':');
    const to = join(this.#root, 'blobs', algorithm, hex.slice(0, 2), hex, 'data');
    await mkdir(dirname(to), { recursive: true });
    await link(from, to).catch(() => copyFile(from, to));
  }

  async link(parts: readonly string[], digest: string): Promise<void> {
    const directory = join(this.#repository, ...parts);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'link'), digest);
  }
}
