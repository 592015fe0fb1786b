import { buffer } from 'node:stream/consumers';
import { ResultCache } from '../../concurrency/index.js';
import type { BlobProvider, ContentStore } from '../../content/index.js';
import {
  type Abortable,
  ContentError,
  isLandfallError,
  isWrongContent,
  type LandfallError,
  RegistryError,
  SpecError,
  throwIfAborted,
} from '../../errors.js';
import type { Fetcher, RegistryClient } from '../../registry/index.js';
import {
  closestPlatform,
  createDigester,
  type Descriptor,
  type Digest,
  exactSize,
  formatPlatform,
  formatSize,
  type ImageConfig,
  type ImageIndex,
  type ImageManifest,
  isConfigType,
  isIndexType,
  isManifestType,
  isRunnablePlatform,
  LIMITS,
  normalizePlatform,
  parseImageConfig,
  parseManifest,
  type Platform,
  platformMatcher,
  platformOf,
  type Reference,
  selectPlatform,
} from '../../spec/index.js';

/** A manifest or an index of the image specification, parsed. */
export type ManifestOrIndex = ImageManifest | ImageIndex;

/**
 * The bytes of a small blob. They are verified here once more, since a manifest steers everything after it
 * and an OCI layout on disk was never verified.
 * Errors: BLOB_NOT_FOUND, SIZE_MISMATCH, DIGEST_MISMATCH, LIMIT_EXCEEDED (larger than `maxBytes`).
 */
export async function readVerified(
  content: Pick<BlobProvider, 'open'>,
  descriptor: Descriptor,
  maxBytes: number = manifestLimit(descriptor),
): Promise<Buffer> {
  refuseLarger(descriptor, maxBytes);
  const chunks: Buffer[] = [];
  const actual = await digestIn(content, descriptor, {}, (chunk) => chunks.push(chunk));
  if (actual !== descriptor.digest) {
    throw new ContentError('DIGEST_MISMATCH', `blob ${descriptor.digest} reads as ${actual}`, {
      details: { digest: descriptor.digest, expected: descriptor.digest, actual },
      hint: 'The stored blob is damaged: run `landfall fsck --repair`, or pull the image again.',
    });
  }
  return Buffer.concat(chunks);
}

/** The digest of what a blob reads as. Errors: those of opening and reading it; ABORTED. */
export async function digestIn(
  content: Pick<BlobProvider, 'open'>,
  descriptor: Descriptor,
  { signal }: Abortable,
  onChunk?: (chunk: Buffer) => void,
): Promise<Digest> {
  const digester = createDigester(descriptor.digest);
  for await (const chunk of await content.open(descriptor)) {
    throwIfAborted(signal);
    digester.update(chunk as Buffer);
    onChunk?.(chunk as Buffer);
  }
  return digester.digest();
}

/** Reads and parses a manifest or index (image-spec: manifest.md, image-index.md). */
export async function readManifest(
  content: Pick<BlobProvider, 'open'>,
  descriptor: Descriptor,
): Promise<ManifestOrIndex> {
  return parseManifest(await readVerified(content, descriptor, LIMITS.manifestBytes), descriptor.mediaType);
}

/** Reads and parses an image config (image-spec: config.md). */
export async function readConfig(content: BlobProvider, descriptor: Descriptor): Promise<ImageConfig> {
  return parseImageConfig(await readVerified(content, descriptor, LIMITS.configBytes));
}

/** How many bytes a manifest, an index or a config may have. */
export function manifestLimit({ mediaType }: Descriptor): number {
  return isConfigType(mediaType) ? LIMITS.configBytes : LIMITS.manifestBytes;
}

/** Refuses a manifest by what its descriptor says, before a byte of it is fetched. */
export function refuseLarger(descriptor: Descriptor, maxBytes: number): void {
  if (descriptor.size <= maxBytes) return;
  throw new SpecError(
    'LIMIT_EXCEEDED',
    `${descriptor.mediaType} ${descriptor.digest} has ${exactSize(descriptor.size)}; the limit is ${formatSize(maxBytes)}`,
    { details: { digest: descriptor.digest, size: descriptor.size, limit: maxBytes } },
  );
}

/** A manifest with the descriptor that names it and the index, if any, that leads to it. */
interface SelectedManifest {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
  readonly index?: ImageIndex | undefined;
}

/**
 * Follows an image's target to the manifest for a platform, through nested indexes (image-spec:
 * image-index.md).
 *
 * @param read gives what is only looked at, to see for which platform it is
 * @param manifest fetches or reads what leads to the manifest, and the manifest; default: by `read`
 * @throws {SpecError} NO_MATCHING_PLATFORM (details.available says which exist), LIMIT_EXCEEDED (indexes
 *   within indexes without end, or too many entries without a platform); those of `read` and `manifest`
 */
export async function selectManifest(
  target: Descriptor,
  platform: Platform,
  read: ReadManifestBytes,
  manifest?: (descriptor: Descriptor) => Promise<ManifestOrIndex>,
): Promise<SelectedManifest> {
  const once = onceEach(read);
  const open = manifest ?? (async (each: Descriptor) => parseManifest(await once(each), each.mediaType));
  let descriptor = target;
  let index: ImageIndex | undefined;
  for (let depth = 0; depth <= LIMITS.indexDepth; depth++) {
    const opened = await open(descriptor);
    if (opened.kind === 'manifest') {
      return { descriptor, manifest: opened, index };
    }
    index ??= opened;
    descriptor = await childForPlatform(target, opened, platform, once);
  }
  throw new SpecError('LIMIT_EXCEEDED', `${target.digest} nests indexes more than ${LIMITS.indexDepth} deep`);
}

/**
 * What of an index leads on to the manifest for a platform: the closest of the entries that say their
 * platform, which they need not; else the closest of those that do not, as their configs say. Where nothing
 * of the index is for any platform, an image or an artifact is for all.
 *
 * @throws as {@link selectManifest}
 */
export async function childForPlatform(
  target: Descriptor,
  index: ImageIndex,
  platform: Platform,
  read: ReadManifestBytes,
): Promise<Descriptor> {
  const stated = selectPlatform(index.manifests, platform);
  if (stated !== undefined) return stated;
  const silent = await silentEntries(index, read);
  const found = closestSilent(silent, platform);
  if (found !== undefined) return found;
  const available = availablePlatforms(index, silent);
  if (available.length === 0) {
    const any = silent.find(({ kind }) => kind === 'image') ?? silent.find(({ kind }) => kind === 'artifact');
    if (any !== undefined) return any.entry;
    const fault = silent.find(({ kind }) => kind === 'unreadable')?.fault;
    if (fault !== undefined) throw fault;
  }
  throw noMatchingPlatform(target, platform, available);
}

/** An entry of an index that says no platform, and what was found by looking into it. */
export interface SilentEntry {
  readonly entry: Descriptor;
  /** Of an index, that of the first of these that it lists. An attestation cannot be run. */
  readonly kind: 'image' | 'artifact' | 'attestation' | 'unreadable';
  /** Which its config says; of an index, those of all that it lists. */
  readonly platforms: readonly Platform[];
  /** Why it is unreadable. */
  readonly fault?: LandfallError;
}

/**
 * What is looked into of one image. Where honest tools write entries without platforms, there are a few of
 * them.
 */
export const MAX_SILENT = 100;

/**
 * Looks into the entries of an index that say no platform: their configs do. One that is not there, or is
 * broken, is passed over.
 *
 * @throws {SpecError} LIMIT_EXCEEDED; those of reading that may pass, and what is damaged
 */
export async function silentEntries(
  index: ImageIndex,
  read: ReadManifestBytes,
  { depth = 0, seen = new Set<Digest>() }: { readonly depth?: number; readonly seen?: Set<Digest> } = {},
): Promise<readonly SilentEntry[]> {
  const entries = index.manifests.filter((entry) => isSilent(entry) && !seen.has(entry.digest));
  for (const { digest } of entries) seen.add(digest);
  if (seen.size > MAX_SILENT) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `the index lists more than ${MAX_SILENT} manifests without saying for which platform they are`,
      { hint: 'Name the manifest that you want by its digest: REPO@DIGEST.' },
    );
  }
  const found: SilentEntry[] = [];
  for (const entry of entries) found.push(await lookInto(entry, read, { depth: depth + 1, seen }));
  return found;
}

async function lookInto(
  entry: Descriptor,
  read: ReadManifestBytes,
  o: { readonly depth: number; readonly seen: Set<Digest> },
): Promise<SilentEntry> {
  try {
    const manifest = parseManifest(await read(entry), entry.mediaType);
    if (manifest.kind === 'index') {
      const within = o.depth > LIMITS.indexDepth ? [] : await silentEntries(manifest, read, o);
      const platforms = availablePlatforms(manifest, within);
      const kind = platforms.length > 0 ? 'image' : (within[0]?.kind ?? 'attestation');
      return { entry, kind, platforms };
    }
    if (!isConfigType(manifest.config.mediaType)) return { entry, kind: 'artifact', platforms: [] };
    const platform = platformOf(parseImageConfig(await read(manifest.config)));
    if (isRunnablePlatform(platform)) return { entry, kind: 'image', platforms: [platform] };
    const isNone = platform.os === '' && platform.architecture === '';
    return { entry, kind: isNone ? 'image' : 'attestation', platforms: [] };
  } catch (error) {
    if (isLandfallError(error) && isBroken(error)) {
      return { entry, kind: 'unreadable', platforms: [], fault: error };
    }
    throw error;
  }
}

/** Whether another try would have the same answer, so that the choice is among the others. */
function isBroken(error: LandfallError): boolean {
  return error instanceof SpecError || error.code === 'NOT_FOUND' || error.code === 'BLOB_NOT_FOUND';
}

/**
 * Of those that were looked into, the one that is closest to a platform, or lists what is; of equals the
 * first.
 */
export function closestSilent(silent: readonly SilentEntry[], platform: Platform): Descriptor | undefined {
  const offered = silent.flatMap(({ entry, platforms }) =>
    platforms.map((each) => ({ entry, platform: each })),
  );
  return closestPlatform(offered, platform)?.entry;
}

/** Whether a manifest or an index of an index is listed there without a platform, which is optional. */
export function isSilent({ mediaType, platform }: Descriptor): boolean {
  if (!isManifestType(mediaType) && !isIndexType(mediaType)) return false;
  return platform === undefined || (platform.os === '' && platform.architecture === '');
}

/**
 * The platforms that an index offers, in its order and then in that of what was looked into; attestations
 * are none.
 */
export function availablePlatforms(index: ImageIndex, silent: readonly SilentEntry[] = []): Platform[] {
  const stated = index.manifests
    .filter((d) => isManifestType(d.mediaType) || isIndexType(d.mediaType))
    .flatMap(({ platform }) => platform ?? []);
  return [...stated, ...silent.flatMap(({ platforms }) => platforms)].filter(isRunnablePlatform);
}

/** @param available the platforms that are there instead; the message lists those that something could run */
export function noMatchingPlatform(
  target: Descriptor,
  wanted: Platform,
  available: readonly Platform[],
): SpecError {
  const names = [...new Set(available.filter(isRunnablePlatform).map(formatPlatform))];
  return new SpecError(
    'NO_MATCHING_PLATFORM',
    `the image has no manifest for ${formatPlatform(wanted)}; it has: ${names.join(', ') || 'none'}`,
    {
      hint: names[0] === undefined ? 'Choose another image.' : `Choose one of them: --platform ${names[0]}`,
      details: { digest: target.digest, wanted: formatPlatform(wanted), available: names },
    },
  );
}

/** Gives the bytes of an index, a manifest or a config, verified. */
export type ReadManifestBytes = (descriptor: Descriptor) => Promise<Buffer>;

/** From the store where it has them, else from their registry; nothing is kept. */
export function readManifestBytes(
  content: Pick<ContentStore, 'info' | 'open'>,
  source: ManifestSource,
  options: Abortable,
): ReadManifestBytes {
  return async (descriptor) => {
    if ((await content.info(descriptor.digest)) !== undefined) {
      try {
        return await readVerified(content, descriptor);
      } catch (error) {
        // A damaged blob is fetched again by the pull that needs it.
        if (!isLandfallError(error)) throw error;
      }
    }
    return await fetchVerified(source, descriptor, options);
  };
}

/** Each manifest once. */
export function onceEach(read: ReadManifestBytes): ReadManifestBytes {
  const known = new ResultCache<string, Buffer>();
  return (descriptor) => known.get(descriptor.digest, () => read(descriptor));
}

export interface ResolveOptions extends Abortable {
  readonly registry: Pick<RegistryClient, 'resolver' | 'repository'>;
  readonly reference: Reference;
  /** Goes on from an index to the manifest for it. */
  readonly platform?: Platform;
}

/**
 * What a reference leads to at its registry; nothing is kept. Without a platform that is what the name
 * points to, often an index. Errors: those of the resolver and the fetcher; NO_MATCHING_PLATFORM,
 * INVALID_MANIFEST, LIMIT_EXCEEDED.
 */
export async function resolveReference(options: ResolveOptions, byGet = false): Promise<Descriptor> {
  const { registry, reference, platform, signal } = options;
  const target = await registry.resolver().resolve(reference, { signal, byGet });
  if (platform === undefined) return target;
  const repository = registry.repository(reference);
  const read = (descriptor: Descriptor): Promise<Buffer> => fetchVerified(repository, descriptor, { signal });
  try {
    const { descriptor, manifest, index } = await selectManifest(target, platform, read);
    // No index says for what a single manifest is, so its config is asked; an artifact is for every platform.
    if (index === undefined && isConfigType(manifest.config.mediaType)) {
      const actual = normalizePlatform(platformOf(parseImageConfig(await read(manifest.config))));
      if (!platformMatcher(platform).matches(actual))
        throw noMatchingPlatform(descriptor, platform, [actual]);
    }
    return descriptor;
  } catch (error) {
    if (byGet) throw error;
    // What only looks into a store loads nothing of the registry.
    const { isMisdescribed } = await import('../../registry/index.js');
    if (!isMisdescribed(error, target)) throw error;
    // Once more by GET, since the manifest could not be had as HEAD had described it.
    return await resolveReference(options, true);
  }
}

/** The source of manifests, to which a wrong one is reported. */
type ManifestSource = Pick<Fetcher, 'fetch' | 'distrust'>;

/** How many bodies of a manifest may break off. Until the first byte, the source itself tries again. */
const BROKEN_BODIES = 3;

/**
 * The bytes of a manifest, an index or a config straight from its registry, verified (image-spec:
 * manifest.md, config.md).
 * Errors: those of {@link Fetcher}; DIGEST_MISMATCH, SIZE_MISMATCH, LIMIT_EXCEEDED.
 */
export async function fetchVerified(
  source: ManifestSource,
  descriptor: Descriptor,
  options: Abortable,
  maxBytes: number = manifestLimit(descriptor),
): Promise<Buffer> {
  refuseLarger(descriptor, maxBytes);
  const { digest } = descriptor;
  for (let broken = 0; ;) {
    const body = await source.fetch(descriptor, options);
    try {
      const bytes = await buffer(body);
      const actual = createDigester(digest).update(bytes).digest();
      if (actual === digest) return bytes;
      throw new ContentError('DIGEST_MISMATCH', `what the registry sent for ${digest} is ${actual}`, {
        details: { digest, expected: digest, actual },
        hint: 'The registry, or a proxy before it, has changed the content; do not trust it.',
      });
    } catch (error) {
      if (isWrongContent(error) && (await source.distrust(descriptor))) continue;
      broken += 1;
      if (!(error instanceof RegistryError) || !error.retryable || broken === BROKEN_BODIES) throw error;
    }
  }
}
