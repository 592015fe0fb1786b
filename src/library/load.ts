import type { Readable } from 'node:stream';
import type { Store } from '../engine/store.js';
import { unpackPresent } from '../engine/files/unpack.js';
import { ContentError, LandfallError } from '../errors.js';
import { type Digest, formatReference, type Platform } from '../spec/index.js';
import { tellingCaller } from '../concurrency/index.js';
import type { CopyEvent, CopyReport } from '../transfer/copy/copy-report.js';
import { CopySession } from '../transfer/copy/copy-session.js';
import { ArchiveLoader } from '../transfer/copy/load-archive.js';
import { openArchive } from '../transfer/transports/archives/open-archive.js';
import { StoreTransport } from '../transfer/transports/store-transport.js';
import type { PlannedImage } from '../transfer/copy/load-archive.js';
import { together, type TransferOptions, transferStream } from './copy.js';
import type { EventStream } from './event-stream.js';

/** Which archive to bring into a store, and how. */
export interface LoadOptions extends Omit<TransferOptions, 'store' | 'registry'> {
  /** Where the images go. Closed by its owner. */
  readonly store: Store;
  /** A file, also one that was split, or a stream, which is read to its end. Compressed or not. */
  readonly archive:
    | {
        /** Its path. */
        readonly file: string;
      }
    | {
        /** Closed by its owner. */
        readonly stream: Readable;
      };
  /** The name of the image that has none in the archive. */
  readonly name?: string;
  /** Default: those that the archive has. */
  readonly platforms?: readonly Platform[];
  /** Make snapshots of the layers for this machine's platform. Default true. */
  readonly unpack?: boolean;
  /** Where a stream or a compressed file is written to while it is read. Default `/var/tmp`. */
  readonly spoolDirectory?: string;
}

/** {@link LoadOptions} for {@link loadEvents}, whose loop has the events. */
export type LoadEventsOptions = Omit<LoadOptions, 'onEvent'>;

/** An image that {@link load} brought into a store. */
export interface LoadedImage {
  /** Canonical. */
  readonly name: string;
  /** The outcome of each of its parts. */
  readonly report: CopyReport;
  /** Of the topmost layer; absent where nothing was unpacked. */
  readonly chainId?: Digest;
  /** The children of its index that the archive lacks and does not declare as left out. */
  readonly missing: readonly Digest[];
}

/** The last event of {@link loadEvents}. */
export interface LoadFinished {
  readonly type: 'done';
  /** The result of {@link load}. */
  readonly result: readonly LoadedImage[];
}

/** The events of {@link loadEvents}: `CopyEvent`s, and at last the images. */
export type LoadProgress = CopyEvent | LoadFinished;

/** Images that are on their way at once; their blobs share what `concurrency` allows. */
const AT_ONCE = 4;

/**
 * Brings the images of an archive into a store, under the names that they have there: archives of {@link
 * save}, `docker save`, podman, skopeo, and OCI layouts in a tar. The first that fails ends it; what was
 * loaded before stays.
 *
 * @returns the images, in the archive's order
 * @throws
 * - `SpecError` and `ContentError` for what is in the archive: BAD_ARCHIVE, DIGEST_MISMATCH,
 *   INVALID_MANIFEST, LIMIT_EXCEEDED
 * - `ContentError` BLOB_NOT_FOUND (no such file, or no image in it), NO_SPACE, FILESYSTEM
 * - `UnpackError` where a layer cannot be unpacked
 * - `TrustError` where `policy` asks for signatures that an image lacks
 * - `LandfallError` INVALID_CONFIG (no image has a name), ABORTED
 */
export async function load(options: LoadOptions): Promise<readonly LoadedImage[]> {
  return await tellingCaller(options, (telling) => loadTelling({ ...options, ...telling }));
}

async function loadTelling(options: LoadOptions): Promise<readonly LoadedImage[]> {
  const { store, archive: input, name, platforms, signal, spoolDirectory } = options;
  const { concurrency, policy, onEvent } = options;
  await using archive = await openArchive(input, { signal, spoolDirectory });
  await using destination = new StoreTransport({ store });
  const path = 'file' in input ? input.file : undefined;
  const loaderWith = (until: AbortSignal | undefined): ArchiveLoader => {
    const session = new CopySession({ signal: until, concurrency, policy, onEvent });
    return new ArchiveLoader({ archive, path, destination, session, name, platforms });
  };
  const { images, nameless } = await loaderWith(signal).plan();
  for (const { digest } of nameless) {
    onEvent?.({ type: 'warning', message: `${digest} has no name in the archive and is not loaded` });
  }
  if (images.length === 0) throw nothingToLoad(archive.location, nameless.length);
  await loaderWith(signal).requireRoom(images, { unpack: options.unpack ?? true });
  const doing = (either: AbortSignal): ((image: PlannedImage) => Promise<LoadedImage>) => {
    const loader = loaderWith(either);
    return (image) => loadOne(image, loader, { ...options, signal: either });
  };
  return await together({ items: images, atOnce: AT_ONCE, signal, doing });
}

/**
 * {@link load}, told as it goes on; the last event is `done` and has the images. See `EventStream` for what
 * leaving the loop does.
 *
 * @returns the events; it begins when the loop does, and throws what {@link load} throws
 */
export function loadEvents(options: LoadEventsOptions): EventStream<LoadProgress> {
  return transferStream<CopyEvent, readonly LoadedImage[]>(options, (telling) =>
    load({ ...options, ...telling }),
  );
}

async function loadOne(
  image: PlannedImage,
  loader: ArchiveLoader,
  { store, unpack = true, signal, onEvent }: LoadOptions,
): Promise<LoadedImage> {
  const { report, missing } = await loader.load(image);
  const onWarning = (message: string): void => onEvent?.({ type: 'warning', message });
  const unpacked = unpack ? await unpackPresent(store, report.target, { signal, onWarning }) : undefined;
  const chainId = unpacked?.chainId;
  return {
    name: formatReference(image.reference),
    report,
    ...(chainId === undefined ? {} : { chainId }),
    missing: missing.map(({ digest }) => digest),
  };
}

function nothingToLoad(location: string, nameless: number): LandfallError {
  if (nameless === 0) {
    return new ContentError('BLOB_NOT_FOUND', `${location} has no image`, {
      hint: 'Have it written again, with the images that are wanted.',
    });
  }
  return new LandfallError('INVALID_CONFIG', `no image of ${location} has a name`, { hint: 'Give it one.' });
}
