import { SpecError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  type ImageIndex,
  isIndexType,
  LIMITS,
  parseManifest,
  type Platform,
} from '../../spec/index.js';
import { childForPlatform } from '../select-manifest.js';
import type { DocumentBytes } from '../document-bytes.js';

/** What leads from an image's target to a manifest that is to be used: the target first, the manifest last. */
export type ManifestPath = readonly Descriptor[];

/** Finds the manifests of an image that are to be used. */
export type ManifestPaths = (target: Descriptor, read: DocumentBytes) => Promise<readonly ManifestPath[]>;

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

/** To one manifest, by whatever indexes lead to it; by itself where none does. Errors: as {@link pathsToAll}. */
export function pathTo(manifest: Descriptor): ManifestPaths {
  return async (target, read) => {
    const paths = await pathsToAll(target, read);
    return [paths.find((path) => path.at(-1)?.digest === manifest.digest) ?? [manifest]];
  };
}

async function childrenAt(
  target: Descriptor,
  path: ManifestPath,
  read: DocumentBytes,
): Promise<readonly Descriptor[]> {
  requireDepth(target, path);
  return (await readIndex(path.at(-1) ?? target, read)).manifests;
}

async function readIndex(descriptor: Descriptor, read: DocumentBytes): Promise<ImageIndex> {
  const document = parseManifest(await read(descriptor), descriptor.mediaType);
  if (document.kind === 'index') return document;
  throw new SpecError('INVALID_MANIFEST', `${descriptor.digest} is no index`, {
    details: { digest: descriptor.digest },
  });
}

function requireDepth(target: Descriptor, { length }: ManifestPath): void {
  if (length <= LIMITS.indexDepth + 1) return;
  throw new SpecError('LIMIT_EXCEEDED', `${target.digest} nests indexes more than ${LIMITS.indexDepth} deep`);
}
