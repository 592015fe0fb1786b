import { type Abortable, type ErrorCode, isLandfallError, throwIfAborted } from '../../errors.js';
import { type Descriptor, type Digest, isIndexType, isManifestType, LIMITS } from '../../spec/index.js';
import { chooseTarget } from '../choose-target.js';
import type { CopySession } from '../copy-session.js';
import { selectEntries } from '../select-platforms.js';
import type { PlannedRepository, WantedImage } from './planned.js';

/**
 * All that an image consists of, with sizes in bytes, what refers to it not counted: one HEAD, and all of its manifests. Nothing
 * where the image is broken or not there, which is so for everybody who asks.
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
    const { from, platforms, rewriteIndex } = image;
    const request = { from, platforms, rewriteIndex };
    const target = await chooseTarget(planned.repository, resolved, request, session);
    const blobs = new Map<Digest, number>();
    await collect(target, { planned, image, session, blobs, signal }, 0);
    return blobs;
  } catch (error) {
    throwIfAborted(signal);
    if (mayPass(error)) throw error;
    return new Map();
  }
}

/** What somebody else who asks the same may not be told. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'UNAUTHORIZED',
  'DENIED',
  'RATE_LIMITED',
  'UNAVAILABLE',
  'PROTOCOL',
]);

/** Whether the same question may have another answer for somebody else, or later. */
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
  const document = await session.documents.document(planned.repository, descriptor, { signal });
  if (document.kind === 'manifest') {
    for (const { digest, size } of [document.config, ...document.layers]) blobs.set(digest, size);
    return;
  }
  const { kept } = await selectEntries(descriptor, document, {
    choice: image.platforms,
    depth,
    has: () => Promise.resolve(true),
    read: (each) => session.documents.bytes(planned.repository, each, { signal }),
  });
  await Promise.all(kept.map((child) => collect(child, into, depth + 1)));
}
