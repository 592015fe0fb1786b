import { type ManifestStore, imagesListing } from '../../content/index.js';
import { type Abortable, SpecError } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  type ImageIndex,
  isIndexType,
  LIMITS,
  parseImageConfig,
  parseManifest,
  parseReference,
  type Platform,
  type Reference,
} from '../../spec/index.js';
import type { SnapshotImage } from '../../unpack/index.js';
import {
  childForPlatform,
  type ReadManifestBytes,
  fetchVerified,
  readVerified,
} from '../images/read-manifest.js';
import { imageLayers } from '../images/image.js';
import type { StoreParts } from '../store.js';

/**
 * What leads from an image's target to a manifest that is to be used: the target first, the manifest last.
 */
export type ManifestPath = readonly Descriptor[];

/** Finds the manifests of an image that are to be used. */
export type ManifestPaths = (target: Descriptor, read: ReadManifestBytes) => Promise<readonly ManifestPath[]>;

/** To the one manifest for a platform. Errors: NO_MATCHING_PLATFORM, LIMIT_EXCEEDED, and those of reading. */
export function pathToPlatform(platform: Platform): ManifestPaths {
  return async (target, read) => {
    const path = [target];
    for (let at = target; isIndexType(at.mediaType);) {
      requireDepth(target, path);
      at = await childForPlatform(target, await readIndex(at, read), platform, read);
      path.push(at);
    }
    return [path];
  };
}

/** To all manifests below the target. Errors: LIMIT_EXCEEDED, and those of reading. */
export const pathsToAll: ManifestPaths = async (target, read) => {
  const paths: ManifestPath[] = [];
  const seen = new Set<Digest>();
  const walk = async (path: readonly [...Descriptor[], Descriptor]): Promise<void> => {
    const at = path.at(-1) ?? target;
    if (seen.has(at.digest)) return;
    seen.add(at.digest);
    const children = isIndexType(at.mediaType) ? await childrenAt(target, path, read) : [];
    // An index without any manifests leads to nothing else, and is signed itself or not.
    if (children.length === 0) paths.push(path);
    for (const child of children) await walk([...path, child]);
  };
  await walk([target]);
  return paths;
};

/**
 * To one manifest, by whatever indexes lead to it; by itself where none does. Errors: as {@link pathsToAll}.
 */
export function pathTo(manifest: Descriptor): ManifestPaths {
  return async (target, read) => {
    const paths = await pathsToAll(target, read);
    return [paths.find((path) => path.at(-1)?.digest === manifest.digest) ?? [manifest]];
  };
}

async function childrenAt(
  target: Descriptor,
  path: ManifestPath,
  read: ReadManifestBytes,
): Promise<readonly Descriptor[]> {
  requireDepth(target, path);
  return (await readIndex(path.at(-1) ?? target, read)).manifests;
}

async function readIndex(descriptor: Descriptor, read: ReadManifestBytes): Promise<ImageIndex> {
  const manifest = parseManifest(await read(descriptor), descriptor.mediaType);
  if (manifest.kind === 'index') return manifest;
  throw new SpecError('INVALID_MANIFEST', `${descriptor.digest} is no index`, {
    details: { digest: descriptor.digest },
  });
}

function requireDepth(target: Descriptor, { length }: ManifestPath): void {
  if (length <= LIMITS.indexDepth + 1) return;
  throw new SpecError('LIMIT_EXCEEDED', `${target.digest} nests indexes more than ${LIMITS.indexDepth} deep`);
}

/**
 * What the layers of a manifest become, bottom first: from what is here, else from its registry. Both are
 * verified, so that no registry can pass layers off as those of an image to which they do not belong.
 *
 * Errors: those of resolving and of reading manifests; INVALID_MANIFEST
 */
export async function chainsOfManifest(
  { content, manifests }: Pick<StoreParts, 'content' | 'manifests'>,
  registry: Pick<RegistryClient, 'resolver' | 'repository'>,
  reference: Pick<Reference, 'registry' | 'repository'> & { readonly digest: Digest },
  { signal }: Abortable,
): Promise<readonly Digest[]> {
  const { digest } = reference;
  const recorded = (await manifests.get(digest))?.chainIds ?? [];
  if (recorded.length > 0) return recorded;
  const repository = registry.repository(reference);
  const read = async (descriptor: Descriptor, maxBytes: number): Promise<Buffer> =>
    (await content.info(descriptor.digest)) === undefined
      ? await fetchVerified(repository, descriptor, { signal }, maxBytes)
      : await readVerified(content, descriptor, maxBytes);
  const descriptor = await registry.resolver().resolve(reference, { signal });
  const manifest = parseManifest(await read(descriptor, LIMITS.manifestBytes), descriptor.mediaType);
  if (manifest.kind === 'index') return [];
  const config = parseImageConfig(await read(manifest.config, LIMITS.configBytes));
  return imageLayers(manifest, config).map(({ chainId }) => chainId);
}

/**
 * The indexes of a store that lead to a manifest, the nearest first: a signature for any of them counts for
 * it.
 */
export async function indexesAbove(
  manifests: Pick<ManifestStore, 'holders'>,
  manifest: Digest,
): Promise<readonly Digest[]> {
  const found = new Set<Digest>();
  let level: readonly Digest[] = [manifest];
  while (level.length > 0) {
    const holders = (await Promise.all(level.map((digest) => manifests.holders(digest)))).flat();
    // Whatever lists a manifest as if it were a layer leads to nothing that could be used.
    const indexes = holders.filter(({ mediaType, digest }) => isIndexType(mediaType) && !found.has(digest));
    for (const { digest } of indexes) found.add(digest);
    level = indexes.map(({ digest }) => digest);
  }
  found.delete(manifest);
  return [...found];
}

/**
 * The images of a store whose topmost layer a chain is, under each name that leads to them, or under which
 * they were once verified: these first. An image whose layers only begin so is another one.
 */
export async function imagesEndingIn(
  { manifests, database, verifications }: Pick<StoreParts, 'manifests' | 'database' | 'verifications'>,
  chainId: Digest,
): Promise<readonly SnapshotImage[]> {
  const holders = await manifests.chainHolders(chainId);
  const found: SnapshotImage[] = [];
  for (const { digest } of holders.filter((info) => info.chainIds.at(-1) === chainId)) {
    const path = [...(await indexesAbove(manifests, digest)).toReversed(), digest];
    const verified = (await verifications.about(path)).map(({ name }) => name).filter((name) => isName(name));
    const names = new Set([...verified, ...(await imagesListing(database, digest))]);
    found.push(...[...names].map((name) => ({ name, path })));
  }
  return found;
}

/** What was verified in a file may be called something else. */
function isName(text: string): boolean {
  try {
    return formatReference(parseReference(text)) === text;
  } catch {
    return false;
  }
}
