import { statfs } from 'node:fs/promises';
import type { BlobProvider } from '../content/index.js';
import { partialProgress } from '../content/partials.js';
import { ingestPath } from '../content/layout-files.js';
import { type Abortable, ContentError, throwIfAborted } from '../errors.js';
import type { Descriptor } from '../spec/index.js';

export interface RequireSpaceOptions extends Abortable {
  /** The store's directory. */
  readonly root: string;
  readonly content: Pick<BlobProvider, 'info'>;
  /** What is to be brought in; one digest may stand there several times. */
  readonly descriptors: readonly Descriptor[];
}

/**
 * Refuses what cannot fit: adds up the sizes of the blobs that are not here, less what partials of them have on disk
 * already, and holds that against what is free where the store lies.
 *
 * A look, not a reservation: others may take the space meanwhile, and then the write itself finds none.
 *
 * @throws ContentError NO_SPACE, with the bytes that are `needed` and `available`; FILESYSTEM; LandfallError ABORTED
 */
export async function requireSpace({
  root,
  content,
  descriptors,
  signal,
}: RequireSpaceOptions): Promise<void> {
  const distinct = new Map(descriptors.map((descriptor) => [descriptor.digest, descriptor]));
  const missing = await Promise.all(
    [...distinct.values()].map(async ({ digest, size }) => {
      throwIfAborted(signal);
      if ((await content.info(digest)) !== undefined) return 0;
      const bytes = (await partialProgress(ingestPath(root, digest)))?.bytes ?? 0;
      return Math.max(0, size - bytes);
    }),
  );
  throwIfAborted(signal);
  const needed = missing.reduce((sum, bytes) => sum + bytes, 0);
  if (needed === 0) return;
  const available = await availableBytes(root);
  if (available === undefined || needed <= available) return;
  throw new ContentError(
    'NO_SPACE',
    `${needed} bytes are to be downloaded, and only ${available} are free at ${root}`,
    {
      details: { path: root, needed, available },
      hint: 'Free some space on that file system, remove unused images with landfall gc, or choose another --root.',
    },
  );
}

/** What this user may still write; undefined where the file system does not say. */
async function availableBytes(root: string): Promise<number | undefined> {
  // A file system that does not answer must not keep anybody from trying.
  const stats = await statfs(root).catch(() => undefined);
  return stats === undefined || stats.blocks === 0 ? undefined : stats.bavail * stats.bsize;
}
