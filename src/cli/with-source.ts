import { type BlobProvider, OciLayout } from '../content/index.js';
import { resolveImage } from '../engine/find-image.js';
import type { Store } from '../engine/store.js';
import type { Descriptor } from '../spec/index.js';
import { WorkerPool } from '../unpack/index.js';
import type { CommandContext } from './command-context.js';
import { parseSourceName } from './source-name.js';
import { withStore } from './with-store.js';

/** An image that a command reads, wherever it lies. */
export interface OpenedSource {
  /** Canonical in the store, as it was typed in a layout. */
  readonly name: string;
  readonly content: BlobProvider;
  readonly target: Descriptor;
  /** The store that it lies in; absent for a layout. */
  readonly store?: Store;
  /** For unpacking. */
  readonly pool: WorkerPool;
}

/**
 * Opens `REF` in the store, or `oci:DIR[:TAG]`, for as long as a function needs it.
 *
 * @throws {LandfallError} INVALID_CONFIG, INVALID_REFERENCE, BLOB_NOT_FOUND, and those of opening
 */
export async function withSource<T>(
  text: string,
  context: CommandContext,
  use: (source: OpenedSource) => Promise<T>,
): Promise<T> {
  const source = parseSourceName(text);
  if (source.kind === 'store') {
    return withStore(context, async (store) => {
      const { name, target } = await resolveImage(store, source.name);
      return use({ name, content: store.content, target, store, pool: store.pool });
    });
  }
  const layout = await OciLayout.open(source.directory);
  const target = await layout.resolve(source.name);
  const pool = new WorkerPool({});
  try {
    return await use({ name: text, content: layout, target, pool });
  } finally {
    await pool.close();
  }
}
