import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { LocalContentStore, openLayout } from '../../src/content/index.js';
import type { MetadataDatabase } from '../../src/metadata/index.js';

/** A store in a directory of its own, which goes when it is disposed. */
export interface ScratchRoot extends AsyncDisposable {
  readonly root: string;
  readonly database: MetadataDatabase;
  readonly store: LocalContentStore;
}

export async function scratchDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'landfall-content-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export async function scratchRoot(): Promise<ScratchRoot> {
  const directory = await scratchDirectory();
  const root = join(directory.path, 'store');
  const database = await openLayout(root);
  return {
    root,
    database,
    store: new LocalContentStore(root, database),
    [Symbol.asyncDispose]: async () => {
      await database.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}
