import { randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { type Abortable, throwIfAborted } from '../../../errors.js';
import { formatSize, LIMITS } from '../../../spec/index.js';
import { decompress } from '../../../unpack/index.js';
import { archiveError, type ArchiveFile, archiveTooLarge, OpenedFile } from './archive-file.js';
import { ARCHIVE_LIMITS, type ArchiveLimits } from './tar-index.js';

/** Where programs of this kind keep what is too large for `/tmp`, which often is in memory. */
export const SPOOL_DIRECTORY = '/var/tmp';

export interface SpoolOptions extends Abortable {
  /** Of what is read, for messages. */
  readonly location: string;
  readonly limits?: ArchiveLimits | undefined;
  /** Default {@link SPOOL_DIRECTORY}. */
  readonly directory?: string | undefined;
}

/**
 * Writes what can only be read from its beginning into a file, decompressed where it is compressed with gzip
 * or zstd. The file has no name from the start, and so goes with this process, however that ends.
 *
 * Errors: BAD_ARCHIVE for damaged compression, LIMIT_EXCEEDED for a bomb, NO_SPACE, FILESYSTEM; ABORTED; what
 * the source throws.
 */
export async function spoolArchive(source: AsyncIterable<Buffer>, o: SpoolOptions): Promise<ArchiveFile> {
  const { location, limits = ARCHIVE_LIMITS, directory = SPOOL_DIRECTORY, signal } = o;
  const path = join(directory, `.landfall-${randomUUID()}`);
  try {
    const handle = await open(path, 'wx+', 0o600);
    try {
      await rm(path, { force: true });
      let taken = 0;
      const counted = async function* (): AsyncGenerator<Buffer, void, undefined> {
        for await (const chunk of source) {
          taken += chunk.length;
          yield chunk;
        }
      };
      const { chunks } = await decompress(counted(), {
        // What an archive may grow to is looked at below: how much there is of it compressed is not known
        // before its end.
        limits: { layerBytes: Infinity, compressionRatio: Infinity },
        compressedSize: 1,
      });
      let size = 0;
      for await (const chunk of chunks) {
        throwIfAborted(signal);
        size += chunk.length;
        refuseBomb(size, taken, { location, limits });
        await handle.writeFile(chunk);
      }
      return new OpenedFile(handle, location, { size, isRegular: true });
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    throw archiveError(error, location, signal);
  }
}

function refuseBomb(
  size: number,
  taken: number,
  { location, limits }: { readonly location: string; readonly limits: ArchiveLimits },
): void {
  if (size > limits.spooledBytes) {
    throw archiveTooLarge(location, `it has more than ${formatSize(limits.spooledBytes)} uncompressed`);
  }
  if (size > Math.max(LIMITS.compressionRatioFrom, taken * LIMITS.compressionRatio)) {
    throw archiveTooLarge(
      location,
      `it is more than ${LIMITS.compressionRatio} times as large as it is compressed`,
    );
  }
}
