import { mapLimited } from '../../concurrency/index.js';
import {
  type Abortable,
  abortedError,
  type ErrorCode,
  isLandfallError,
  RegistryError,
  throwIfAborted,
} from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  isDigest,
  isIndexType,
  isManifestType,
  LIMITS,
} from '../../spec/index.js';
import type { CopySession } from '../copy/copy-session.js';
import { copyResolved } from '../copy/copy.js';
import type { DestinationTransport, DestinationRepository } from '../transports/destination.js';
import { chooseTarget, selectEntries } from '../copy/select-platforms.js';
import type { MappedImage, PlannedRepository, WantedImage } from './planned.js';
import { type EarlierReport, type SyncedImage, syncedImage, type SyncEvent } from './sync-result.js';

export interface SyncImagesOptions {
  readonly transport: DestinationTransport;
  readonly session: CopySession;
  readonly since: EarlierReport | undefined;
  /** Images at once. */
  readonly atOnce: number;
  readonly onEvent?: ((event: SyncEvent) => void) | undefined;
}

/**
 * Copies images to one place, several at once. The results stand in the order of the images; none is thrown.
 */
export async function syncImages(
  images: readonly MappedImage[],
  options: SyncImagesOptions,
): Promise<SyncedImage[]> {
  const { transport, onEvent, atOnce } = options;
  const repositories = new Map<string, DestinationRepository>();
  const repositoryOf = (name: string): DestinationRepository => {
    const known = repositories.get(name) ?? transport.repository(name);
    repositories.set(name, known);
    return known;
  };
  let done = 0;
  return await mapLimited(images, atOnce, async (mapped) => {
    const image = await syncImage(mapped, repositoryOf(mapped.to), options);
    done += 1;
    onEvent?.({ type: 'synced', image, done, total: images.length });
    return image;
  });
}

async function syncImage(
  { planned, image, to }: MappedImage,
  destination: DestinationRepository,
  { session, since }: SyncImagesOptions,
): Promise<SyncedImage> {
  const { from, tag } = image;
  const mark = isDigest(from) ? '@' : ':';
  const names = {
    source: `${planned.repository.location}${mark}${from}`,
    destination: `${destination.location}${mark}${tag ?? from}`,
    name: `${to}${mark}${tag ?? from}`,
  };
  const nothing = { bytes: 0, contents: [], omitted: [], referrers: [] };
  try {
    if (session.signal?.aborted === true) throw abortedError(session.signal);
    const resolved = await planned.resolve(from, { signal: session.signal });
    const request = { ...image, resolved };
    if (since !== undefined) {
      const target = await chooseTarget(planned.repository, resolved, request, session);
      if (since.has(names.name, target.digest)) {
        const contents = since.contentsOf(names.name, target.digest);
        return { ...names, ...nothing, target, outcome: 'unchanged', contents };
      }
    }
    const report = await copyResolved(planned.repository, destination, request, session);
    return syncedImage(names, report, session.without);
  } catch (error) {
    return { ...names, ...nothing, outcome: 'failed', error: explained(error, image) };
  }
}

/** A registry that takes no index of which parts are missing says only that something is. */
function explained(error: unknown, { platforms, rewriteIndex }: WantedImage): unknown {
  const isPartial = typeof platforms !== 'string' && rewriteIndex !== true;
  if (!isPartial || !(error instanceof RegistryError)) return error;
  const { registryCodes = [] } = error.details;
  if (!registryCodes.some((code) => MISSING_PARTS.has(code))) return error;
  return new RegistryError(error.code, error.message, {
    cause: error.cause,
    details: error.details,
    hint: 'The registry takes no index whose other platforms are missing: mirror all of them, or set `rewriteIndex: true`.',
  });
}

const MISSING_PARTS: ReadonlySet<string> = new Set(['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_UNKNOWN']);

/**
 * All that an image consists of, with sizes in bytes, what refers to it not counted: one HEAD, and all of its
 * manifests. Nothing where the image is broken or not there, which is so for everybody who asks.
 *
 * Errors: those that may be otherwise the next time, such as UNAVAILABLE; ABORTED
 */
export async function imageBlobs(
  planned: PlannedRepository,
  image: WantedImage,
  session: CopySession,
): Promise<ReadonlyMap<Digest, number>> {
  const { signal } = session;
  try {
    const resolved = await planned.resolve(image.from, { signal });
    const target = await chooseTarget(planned.repository, resolved, image, session);
    const blobs = new Map<Digest, number>();
    await collect(target, { planned, image, session, blobs, signal }, 0);
    return blobs;
  } catch (error) {
    throwIfAborted(signal);
    if (mayPass(error)) throw error;
    return new Map();
  }
}

/** Errors that the same request may not meet with other credentials, or later. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'UNAUTHORIZED',
  'DENIED',
  'RATE_LIMITED',
  'UNAVAILABLE',
  'CERTIFICATE_INVALID',
  'PROTOCOL',
]);

/** Whether the same request may succeed with other credentials, or later. */
export function mayPass(error: unknown): boolean {
  return !isLandfallError(error) || error.retryable || PASSING.has(error.code);
}

interface Collecting extends Abortable {
  readonly planned: PlannedRepository;
  readonly image: WantedImage;
  readonly session: CopySession;
  readonly blobs: Map<Digest, number>;
}

async function collect(descriptor: Descriptor, into: Collecting, depth: number): Promise<void> {
  const { planned, image, session, blobs, signal } = into;
  blobs.set(descriptor.digest, descriptor.size);
  const { mediaType } = descriptor;
  if (depth > LIMITS.indexDepth || !(isIndexType(mediaType) || isManifestType(mediaType))) return;
  const manifest = await session.manifests.manifest(planned.repository, descriptor, { signal });
  if (manifest.kind === 'manifest') {
    for (const { digest, size } of [manifest.config, ...manifest.layers]) blobs.set(digest, size);
    return;
  }
  const { kept } = await selectEntries(descriptor, manifest, {
    choice: image.platforms,
    depth,
    has: () => Promise.resolve(true),
    read: (each) => session.manifests.bytes(planned.repository, each, { signal }),
  });
  await Promise.all(kept.map((child) => collect(child, into, depth + 1)));
}
