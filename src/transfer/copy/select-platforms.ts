import {
  availablePlatforms,
  childForPlatform,
  closestSilent,
  type ReadManifestBytes,
  isSilent,
  noMatchingPlatform,
  silentEntries,
  type SilentEntry,
} from '../../engine/images/read-manifest.js';
import { SpecError } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  formatPlatform,
  hostPlatform,
  type ImageIndex,
  isIndexType,
  isManifestType,
  isRunnablePlatform,
  LIMITS,
  normalizePlatform,
  type Platform,
  selectPlatform,
} from '../../spec/index.js';
import type { CopyRequest, PlatformChoice } from './copy-request.js';
import type { CopySession } from './copy-session.js';
import type { SourceRepository } from '../transports/destination.js';
import type { SelectedEntries } from '../transports/image-graph.js';

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
  /**
   * Reads what an index lists without a platform; asked for a list of platforms only, where nothing else is
   * for one of them.
   */
  readonly read: ReadManifestBytes;
  /** How deep the index lies in others, which may have what it lacks. Default 0. */
  readonly depth?: number | undefined;
}

/**
 * The entries of an index that are to come along (image-spec: image-index.md). With a list of platforms: the
 * closest for each of them, what is about those, and what names no platform, but for images of which the
 * config says another one.
 *
 * Errors: NO_MATCHING_PLATFORM where one of the list is not there, nor can be in an index that this one lists
 * or is listed by.
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
    readonly read: ReadManifestBytes;
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

/**
 * What is to be at the destination of what a name stands for at the source: the same, or one manifest of it,
 * or a new index of some of them.
 *
 * Errors: those of reading; NO_MATCHING_PLATFORM.
 */
export async function chooseTarget(
  source: SourceRepository,
  resolved: Descriptor,
  request: CopyRequest,
  session: CopySession,
): Promise<Descriptor> {
  if (!isIndexType(resolved.mediaType)) return resolved;
  const { platforms, rewriteIndex = false } = request;
  if (platforms === 'one') return bare((await chosenPath(source, resolved, session)).at(-1) ?? resolved);
  if (!rewriteIndex || platforms === 'all') return resolved;
  return await rewritten(source, resolved, request, session);
}

/**
 * What leads from what a name stands for to the one manifest of it that is copied by itself: that for this
 * machine, else the only one that the source has.
 *
 * Errors: as {@link chooseTarget}
 */
export async function chosenPath(
  source: SourceRepository,
  target: Descriptor,
  session: CopySession,
): Promise<readonly Descriptor[]> {
  const host = hostPlatform();
  const path = [target];
  let next = target;
  for (let depth = 0; depth <= LIMITS.indexDepth; depth += 1) {
    if (!isIndexType(next.mediaType)) return path;
    const manifest = await session.manifests.manifest(source, next, session);
    if (manifest.kind !== 'index') return path;
    const stated = selectPlatform(manifest.manifests, host);
    next =
      stated !== undefined && (await isThere(source, stated, session))
        ? stated
        : await otherwiseChosen(source, { target, index: manifest, host }, session);
    path.push(next);
  }
  throw new SpecError('LIMIT_EXCEEDED', `${target.digest} nests indexes more than ${LIMITS.indexDepth} deep`);
}

/** A registry has what its indexes list, as a rule, and counts how often it is asked. */
async function isThere(
  source: SourceRepository,
  entry: Descriptor,
  { signal }: CopySession,
): Promise<boolean> {
  return source.registry !== undefined || (await source.resolve(entry.digest, { signal })) !== undefined;
}

/**
 * Where no entry that says so is for this machine, and there: what says no platform, else the only one that
 * is there.
 */
async function otherwiseChosen(
  source: SourceRepository,
  o: { readonly target: Descriptor; readonly index: ImageIndex; readonly host: Platform },
  session: CopySession,
): Promise<Descriptor> {
  const { target, index, host } = o;
  const { manifests, signal } = session;
  const read: ReadManifestBytes = (descriptor) => manifests.bytes(source, descriptor, { signal });
  const silent = await silentEntries(index, read);
  return (
    closestSilent(silent, host) ??
    (await onlyPresent(source, { index, silent }, session)) ??
    (await childForPlatform(target, index, host, read))
  );
}

async function onlyPresent(
  source: SourceRepository,
  { index, silent }: { readonly index: ImageIndex; readonly silent: readonly SilentEntry[] },
  { signal }: CopySession,
): Promise<Descriptor | undefined> {
  const offered = index.manifests.flatMap((entry) => {
    const said = entry.platform === undefined ? [] : [entry.platform];
    const platforms = silent.find((each) => each.entry === entry)?.platforms ?? said;
    return platforms.filter(isRunnablePlatform).map((platform) => ({ entry, platform }));
  });
  const there = await Promise.all(offered.map(({ entry }) => source.resolve(entry.digest, { signal })));
  const present = offered.filter((_, at) => there[at] !== undefined);
  const names = new Set(present.map(({ platform }) => formatPlatform(normalizePlatform(platform))));
  return names.size === 1 ? present[0]?.entry : undefined;
}

/**
 * The same index with some of its entries: all else stays, in its order, so that the same choice gives the
 * same bytes.
 */
async function rewritten(
  source: SourceRepository,
  resolved: Descriptor,
  { platforms }: CopyRequest,
  session: CopySession,
): Promise<Descriptor> {
  const { signal, manifests } = session;
  const bytes = await manifests.bytes(source, resolved, { signal });
  const index = await manifests.manifest(source, resolved, { signal });
  if (index.kind !== 'index') return resolved;
  const { kept, omitted } = await selectEntries(resolved, index, {
    choice: platforms,
    has: async ({ digest }) => (await source.resolve(digest, { signal })) !== undefined,
    read: (descriptor) => manifests.bytes(source, descriptor, { signal }),
  });
  if (omitted.length === 0) return resolved;
  const raw = JSON.parse(bytes.toString('utf8')) as { manifests: unknown[] };
  const stays = new Set(kept.map((entry) => index.manifests.indexOf(entry)));
  const fewer = { ...raw, manifests: raw.manifests.filter((_, at) => stays.has(at)) };
  return manifests.add(Buffer.from(JSON.stringify(fewer)), resolved.mediaType);
}

function bare({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}
