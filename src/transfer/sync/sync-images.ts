import { mapLimited } from '../../concurrency/index.js';
import { abortedError, RegistryError } from '../../errors.js';
import { isDigest } from '../../spec/index.js';
import type { CopySession } from '../copy/copy-session.js';
import { copyResolved, requireRoom, type ResolvedCopyRequest } from '../copy/copy.js';
import type {
  DestinationTransport,
  DestinationRepository,
  SourceRepository,
} from '../transports/destination.js';
import { chooseTarget } from '../copy/select-platforms.js';
import { type MappedImage, nameOfImage, type WantedImage } from './planned.js';
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
 *
 * Errors: NO_SPACE, before anything is copied
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
  const looks = images.map((mapped) => async (looking: CopySession) => {
    const { planned, image } = mapped;
    const resolved = await planned.resolve(image.from, { signal: looking.signal });
    const request = { ...image, resolved, referrers: undefined };
    return await copyResolved(planned.repository, repositoryOf(mapped.to), request, looking);
  });
  await requireRoom(transport, options.session, looks);
  let done = 0;
  return await mapLimited(images, atOnce, async (mapped) => {
    const image = await syncImage(mapped, repositoryOf(mapped.to), options);
    done += 1;
    onEvent?.({ type: 'synced', image, done, total: images.length });
    return image;
  });
}

async function syncImage(
  mapped: MappedImage,
  destination: DestinationRepository,
  { session, since }: SyncImagesOptions,
): Promise<SyncedImage> {
  const { planned, image } = mapped;
  const { from, tag } = image;
  const mark = isDigest(from) ? '@' : ':';
  const names = {
    source: `${planned.repository.location}${mark}${from}`,
    destination: `${destination.location}${mark}${tag ?? from}`,
    name: nameOfImage(mapped),
  };
  const nothing = { bytes: 0, contents: [], omitted: [], referrers: [] };
  try {
    if (session.signal?.aborted === true) throw abortedError(session.signal);
    const resolved = await planned.resolve(from, { signal: session.signal });
    const request = { ...image, resolved };
    if (since !== undefined) {
      const target = await chooseTarget(planned.repository, resolved, request, session);
      const isDelivered = since.has(names.name, target.digest);
      if (isDelivered && !(await hasNewReferrers(planned.repository, destination, request, session))) {
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

/** Whether an image that was delivered before was signed since, or has got something else that refers to it. */
async function hasNewReferrers(
  source: SourceRepository,
  destination: DestinationRepository,
  request: ResolvedCopyRequest,
  session: CopySession,
): Promise<boolean> {
  if (request.referrers === undefined) return false;
  const { referrers } = await copyResolved(source, destination, request, session.looking());
  return referrers.some(({ target: { digest } }) => !session.without.has(digest));
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
