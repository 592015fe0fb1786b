import type { DocumentBytes } from '../engine/document-bytes.js';
import {
  availablePlatforms,
  closestSilent,
  isSilent,
  noMatchingPlatform,
  type SilentEntry,
  silentEntries,
} from '../engine/read-document.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  type ImageIndex,
  isIndexType,
  isManifestType,
  normalizePlatform,
  type Platform,
  selectPlatform,
} from '../spec/index.js';
import type { PlatformChoice } from './copy-request.js';

export interface SelectedEntries {
  readonly kept: readonly Descriptor[];
  readonly omitted: readonly Descriptor[];
}

export interface ChosenEntries extends SelectedEntries {
  /** Platforms of a list that the index itself has nothing for. */
  readonly unmatched: readonly Platform[];
}

/** How an attestation's entry names the manifest that it is about, as BuildKit writes it. */
const ATTESTS = 'vnd.docker.reference.digest';

export interface SelectEntriesOptions {
  readonly choice: PlatformChoice;
  /** Whether the source has what an entry names; asked for `present` only. */
  readonly has: (entry: Descriptor) => Promise<boolean>;
  /** Reads what an index lists without a platform; asked for a list of platforms only, where nothing else is for one of them. */
  readonly read: DocumentBytes;
  /** How deep the index lies in others, which may have what it lacks. Default 0. */
  readonly depth?: number | undefined;
}

/**
 * The entries of an index that are to come along (image-spec: image-index.md). With a list of platforms: the closest for each of
 * them, what is about those, and what names no platform, but for images of which the config says another one.
 *
 * Errors: NO_MATCHING_PLATFORM where one of the list is not there, nor can be in an index that this one lists or is listed by.
 */
export async function selectEntries(
  target: Descriptor,
  index: ImageIndex,
  { choice, has, read, depth = 0 }: SelectEntriesOptions,
): Promise<ChosenEntries> {
  const { manifests } = index;
  switch (choice) {
    case 'all':
    case 'one':
      return { kept: manifests, omitted: [], unmatched: [] };
    case 'present': {
      const present = await Promise.all(manifests.map(has));
      return { ...split(manifests, (_, at) => present[at] === true), unmatched: [] };
    }
    default:
      return await forPlatforms(target, index, { platforms: choice, read, depth });
  }
}

/** What refers to an image is for no platform, and comes whole, as far as the source has it. */
export function wholeOf(choice: PlatformChoice): PlatformChoice {
  return choice === 'present' ? 'present' : 'all';
}

async function forPlatforms(
  target: Descriptor,
  index: ImageIndex,
  {
    platforms,
    read,
    depth,
  }: {
    readonly platforms: readonly Platform[];
    readonly read: DocumentBytes;
    readonly depth: number;
  },
): Promise<ChosenEntries> {
  const { manifests } = index;
  const wanted = new Set<Digest>();
  const unmatched: Platform[] = [];
  const isAlone = depth === 0 && !manifests.some(({ mediaType }) => isIndexType(mediaType));
  let silent: readonly SilentEntry[] | undefined;
  for (const platform of platforms) {
    const stated = selectPlatform(manifests, platform);
    if (stated === undefined) silent ??= await silentEntries(index, read);
    const closest = stated ?? closestSilent(silent ?? [], platform);
    if (closest === undefined) {
      if (isAlone) throw noMatchingPlatform(target, platform, availablePlatforms(index, silent));
      unmatched.push(platform);
    }
    // There may be several for one platform: an image, and the same with another snapshotter's layers.
    for (const entry of manifests) {
      if (entry === closest || (stated !== undefined && isFor(entry, stated))) wanted.add(entry.digest);
    }
  }
  const others = new Set(
    silent
      ?.filter(({ entry, platforms: said }) => said.length > 0 && isManifestType(entry.mediaType))
      .map(({ entry }) => entry.digest),
  );
  const parts = split(manifests, (entry) => {
    const subject = entry.annotations?.[ATTESTS];
    if (subject !== undefined)
      return manifests.some(({ digest }) => digest === subject && wanted.has(digest));
    return wanted.has(entry.digest) || (isUnplaced(entry) && !others.has(entry.digest));
  });
  return { ...parts, unmatched };
}

/** Whether it names no platform, be it an image or something else. */
function isUnplaced(entry: Descriptor): boolean {
  return entry.platform === undefined || isSilent(entry);
}

function isFor({ mediaType, platform }: Descriptor, closest: Descriptor): boolean {
  if (platform === undefined || closest.platform === undefined) return false;
  if (!isManifestType(mediaType) && !isIndexType(mediaType)) return false;
  return nameOf(platform) === nameOf(closest.platform);
}

function nameOf(platform: Platform): string {
  return formatPlatform(normalizePlatform(platform));
}

function split(
  entries: readonly Descriptor[],
  keeps: (entry: Descriptor, at: number) => boolean,
): SelectedEntries {
  const kept: Descriptor[] = [];
  const omitted: Descriptor[] = [];
  for (const [at, entry] of entries.entries()) (keeps(entry, at) ? kept : omitted).push(entry);
  return { kept, omitted };
}
