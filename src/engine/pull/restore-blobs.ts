import { type Abortable, ContentError, LandfallError, throwIfAborted } from '../../errors.js';
import type { RegistryClient } from '../../registry/index.js';
import { type Descriptor, type Digest, parseReference } from '../../spec/index.js';
import { BlobDownloads } from './blob-downloads.js';
import { PullBudget } from './pull-budget.js';
import type { PullEventBody } from './pull-report.js';
import type { StoreParts } from '../store.js';

export interface RestoreBlobsOptions extends Abortable {
  /** What this shares with pulls. Without it, it has one of its own. */
  readonly budget?: PullBudget;
  /** Called as the blobs arrive. */
  readonly onEvent?: (event: PullEventBody) => void;
}

/**
 * Fetches blobs that were discarded again from where they came, verified, into the store; they are no
 * longer discarded then. Where nobody noted where one came from, the repositories of the images that list
 * it are asked. What is here, or never was, is passed over.
 *
 * Errors: those of fetcher and content store, with a message that says why the blob is not here;
 * BLOB_NOT_FOUND (its repository is not known); ABORTED.
 */
export async function restoreBlobs(
  store: Pick<StoreParts, 'root' | 'discarded' | 'manifests' | 'content' | 'leases'>,
  registry: Pick<RegistryClient, 'repository'>,
  descriptors: readonly Descriptor[],
  options: RestoreBlobsOptions = {},
): Promise<void> {
  const { signal, onEvent } = options;
  await using lease = await store.leases.create();
  await lease.addBlob(...descriptors.map(({ digest }) => digest));
  const discarded = await store.discarded.among(descriptors.map(({ digest }) => digest));
  const budget = (options.budget ?? new PullBudget()).share();
  const bySource = new Map<string, BlobDownloads>();
  const failed = new AbortController();
  const scope = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const downloadsFrom = (source: string): BlobDownloads => {
    const known = bySource.get(source);
    if (known !== undefined) return known;
    const downloads = new BlobDownloads({
      content: store.content,
      fetcher: registry.repository(parseReference(source)),
      lease,
      source,
      budget,
      signal: scope,
      onEvent,
    });
    bySource.set(source, downloads);
    return downloads;
  };
  const restore = async (descriptor: Descriptor): Promise<void> => {
    const blob = discarded.get(descriptor.digest);
    if (blob === undefined) return;
    const sources =
      blob.source === undefined ? await store.discarded.repositoriesOf(blob.digest) : [blob.source];
    let failure: unknown = sourceUnknown(blob.digest);
    for (const source of sources) {
      try {
        await downloadsFrom(source).start(descriptor, 'layer').done;
        return;
      } catch (error) {
        failure = notRestored(blob.digest, source, error);
        if (scope.aborted) break;
      }
    }
    if (!failed.signal.aborted) failed.abort(failure);
  };
  await Promise.all(descriptors.map(restore));
  throwIfAborted(signal);
  if (failed.signal.aborted) throw failed.signal.reason;
}

function sourceUnknown(digest: Digest): ContentError {
  return new ContentError('BLOB_NOT_FOUND', `${notHere(digest)}: its source is not known`, {
    details: { digest },
    hint: 'Pull the image again with --no-unpack.',
  });
}

/** The same failure, with the reason why the blob was wanted. */
function notRestored(digest: Digest, source: string, error: unknown): unknown {
  if (!(error instanceof LandfallError) || error.code === 'ABORTED') return error;
  const { code, message, retryable, hint, details } = error as LandfallError;
  return new LandfallError(code, `${notHere(digest)} from ${source}: ${message}`, {
    cause: error,
    retryable,
    hint,
    details,
  });
}

function notHere(digest: Digest): string {
  return `the blob ${digest} was dropped once it was unpacked, and cannot be fetched again`;
}
