import type { DocumentBytes } from '../engine/document-bytes.js';
import type { ManifestPath, ManifestPaths } from '../engine/trust/manifest-paths.js';
import { SpecError } from '../errors.js';
import { type Descriptor, type Digest, isIndexType, LIMITS, parseManifest } from '../spec/index.js';
import type { PlatformChoice } from './copy-request.js';
import { selectEntries } from './select-platforms.js';

export interface ChosenPathsOptions {
  readonly choice: Exclude<PlatformChoice, 'one'>;
  /** Whether the source has what an entry names; asked for `present` only. */
  readonly has: (entry: Descriptor) => Promise<boolean>;
}

/**
 * What leads to each manifest of an image that a copy takes, by the same choice. An index of which nothing is taken is itself all that
 * is, and its own path.
 *
 * Errors: NO_MATCHING_PLATFORM, LIMIT_EXCEEDED, and those of reading
 */
export function chosenPaths({ choice, has }: ChosenPathsOptions): ManifestPaths {
  return async (target, read) => {
    const paths: ManifestPath[] = [];
    const seen = new Set<Digest>();
    const walk = async (path: readonly Descriptor[], at: Descriptor): Promise<void> => {
      if (seen.has(at.digest)) return;
      seen.add(at.digest);
      const reached = [...path, at];
      const kept = isIndexType(at.mediaType) ? await keptOf(at, path.length, { choice, has, read }) : [];
      if (kept.length === 0) paths.push(reached);
      for (const child of kept) await walk(reached, child);
    };
    await walk([], target);
    return paths;
  };
}

async function keptOf(
  descriptor: Descriptor,
  depth: number,
  { choice, has, read }: ChosenPathsOptions & { readonly read: DocumentBytes },
): Promise<readonly Descriptor[]> {
  if (depth > LIMITS.indexDepth) {
    throw new SpecError('LIMIT_EXCEEDED', `indexes are nested more than ${LIMITS.indexDepth} deep`);
  }
  const index = parseManifest(await read(descriptor), descriptor.mediaType);
  if (index.kind !== 'index') return [];
  return (await selectEntries(descriptor, index, { choice, has, read, depth })).kept;
}
