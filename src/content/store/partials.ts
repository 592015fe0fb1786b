import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { type Abortable, throwIfAborted } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import type { IngestProgress } from './content-store.js';
import { digestOfIngest, fileError, INGEST, isTemporaryFile, unlessMissing } from './layout-files.js';
import { IngestDirectory, readIngestState, trustedSpans } from './ingest-directory.js';

/** A blob that began to arrive and is not committed. */
export interface PartialBlob {
  readonly digest: Digest;
  /** Bytes that are here, as far as that is recorded. */
  readonly bytes: number;
  /** Bytes of the whole; undefined where its state is lost. */
  readonly size?: number;
  /** `registry/repository` */
  readonly source?: string;
  /** When bytes last arrived. */
  readonly updatedAt: Date;
  /** Whether a process is writing it at this moment. */
  readonly inFlight: boolean;
}

/** The partials of a store. */
export async function listPartials(root: string): Promise<readonly PartialBlob[]> {
  const partials: PartialBlob[] = [];
  for (const name of await namesIn(root)) {
    const digest = digestOfIngest(name);
    const path = join(root, INGEST, name);
    const partial = digest === undefined ? undefined : await describe(path, digest);
    if (partial !== undefined) partials.push(partial);
  }
  return partials;
}

/**
 * How far the partial in a directory of `ingest/` is, for who only looks: one that arrives out of order has more than its
 * writer has recorded so far. Undefined where it is not there, or no longer, since it became a blob.
 *
 * @throws ContentError FILESYSTEM
 */
export async function partialProgress(path: string): Promise<IngestProgress | undefined> {
  const { known, isThere } = await look(path);
  const { bytes, size } = known;
  return isThere ? { bytes, ...(size === undefined ? {} : { size }) } : undefined;
}

export interface ExpirePartialsOptions extends Abortable {
  /** Only what no byte was added to for so long. */
  readonly olderThanMs: number;
  /** Changes nothing, and says what it would remove. */
  readonly dryRun?: boolean;
}

/**
 * Removes partials that nobody writes and nobody has gone on with, and temporary files of processes that died. One that is
 * in flight stays, however old.
 *
 * @returns what was removed
 */
export async function expirePartials(
  root: string,
  o: ExpirePartialsOptions,
): Promise<readonly PartialBlob[]> {
  const removed: PartialBlob[] = [];
  for (const name of await namesIn(root)) {
    throwIfAborted(o.signal);
    const path = join(root, INGEST, name);
    const digest = digestOfIngest(name);
    if (digest !== undefined) {
      const partial = await expire(path, digest, o);
      if (partial !== undefined) removed.push(partial);
    } else if (isTemporaryFile(name) && o.dryRun !== true) {
      await expireTemporary(path, o.olderThanMs);
    }
  }
  return removed;
}

async function expire(
  path: string,
  digest: Digest,
  o: ExpirePartialsOptions,
): Promise<PartialBlob | undefined> {
  const directory = await IngestDirectory.tryLock(path, { create: false });
  if (directory === undefined) return undefined;
  let expired = false;
  try {
    if (o.dryRun !== true) await directory.removeTemporaries();
    const partial = await measure(path, digest);
    // Where there is no byte, there is nothing to go on with.
    expired = partial !== undefined && (partial.bytes === 0 || isOlder(partial.updatedAt, o.olderThanMs));
    return expired ? partial : undefined;
  } finally {
    if (expired && o.dryRun !== true) await directory.remove();
    else await directory.release();
  }
}

async function describe(path: string, digest: Digest): Promise<PartialBlob | undefined> {
  const measured = await measure(path, digest);
  if (measured === undefined) return undefined;
  const directory = await IngestDirectory.tryLock(path, { create: false });
  await directory?.release();
  // Not ours, and still there: somebody has it.
  const inFlight = directory === undefined && (await unlessMissing(stat(path))) !== undefined;
  return { ...measured, inFlight };
}

async function measure(path: string, digest: Digest): Promise<PartialBlob | undefined> {
  const { known, changedAt } = await look(path);
  return changedAt === undefined ? undefined : { digest, ...known, updatedAt: changedAt, inFlight: false };
}

/** The state of a partial, read from its directory: `changedAt` is undefined without a directory, `isThere` is of the file. */
async function look(path: string): Promise<{
  readonly known: Pick<PartialBlob, 'bytes' | 'size' | 'source'>;
  readonly changedAt: Date | undefined;
  readonly isThere: boolean;
}> {
  const [data, directory, state] = await Promise.all([
    unlessMissing(stat(IngestDirectory.dataPathIn(path))),
    unlessMissing(stat(path)),
    readIngestState(path),
  ]).catch((error: unknown) => {
    throw fileError(error, 'look at a partial blob', path);
  });
  const length = data?.size ?? 0;
  // Where the state is lost, all that is known is that so much lies there.
  const bytes =
    state === undefined
      ? length
      : trustedSpans(state, length, Infinity).reduce((sum, { start, end }) => sum + end - start, 0);
  const known = {
    bytes,
    ...(state === undefined ? {} : { size: state.size }),
    ...(state?.source === undefined ? {} : { source: state.source }),
  };
  return {
    known,
    changedAt: directory && (data ?? directory).mtime,
    isThere: data !== undefined,
  };
}

async function expireTemporary(path: string, olderThanMs: number): Promise<void> {
  const file = await unlessMissing(stat(path));
  if (file !== undefined && isOlder(file.mtime, olderThanMs)) await rm(path, { force: true });
}

function isOlder(time: Date, thanMs: number): boolean {
  return Date.now() - time.getTime() >= thanMs;
}

async function namesIn(root: string): Promise<readonly string[]> {
  const path = join(root, INGEST);
  try {
    return (await unlessMissing(readdir(path))) ?? [];
  } catch (error) {
    throw fileError(error, 'list partial blobs', path);
  }
}
