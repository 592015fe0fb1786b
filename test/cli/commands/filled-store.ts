import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Labels } from '../../../src/content/index.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { digestOf } from '../../../src/spec/index.js';
import { put } from '../../content/blobs.js';
import { makeTinyLayout, type TinyEntry, type TinyLayout } from '../../support/tiny-image.js';
import { type Ran, run } from './serve-lists.js';

export interface ImageToFill {
  /** Canonical. */
  readonly name: string;
  readonly layers?: readonly (readonly TinyEntry[])[];
  readonly platforms?: readonly string[];
  readonly labels?: Labels;
  /** How long ago it was last used, in ms. Default: now. */
  readonly unusedMs?: number;
}

/** A store on disk whose images were put there without being unpacked. */
export interface FilledStore extends AsyncDisposable {
  readonly root: string;
  readonly layouts: readonly TinyLayout[];
  /** Runs a command on it, in this process. */
  run(...argv: string[]): Promise<Ran>;
  runJson(...argv: string[]): Promise<unknown>;
  /** Opens it for as long as a function needs it. */
  with<T>(use: (store: Store) => Promise<T>): Promise<T>;
}

export async function fillStore(images: readonly ImageToFill[]): Promise<FilledStore> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-filled-'));
  const root = join(directory, 'store');
  const withStore = async <T>(use: (store: Store) => Promise<T>): Promise<T> => {
    await using store = await openStore({ root });
    return await use(store);
  };
  const layouts = await withStore(async (store) => {
    const made: TinyLayout[] = [];
    for (const [at, image] of images.entries()) made.push(await fill(store, join(directory, `${at}`), image));
    return made;
  });
  const runHere = (...argv: string[]): Promise<Ran> => run('--root', root, ...argv);
  return {
    root,
    layouts,
    run: runHere,
    runJson: async (...argv) => {
      const { code, out, err } = await runHere('--output', 'json', ...argv);
      if (code !== 0) throw new Error(`ended with ${code}: ${err}`);
      return JSON.parse(out) as unknown;
    },
    with: withStore,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

async function fill(store: Store, directory: string, image: ImageToFill): Promise<TinyLayout> {
  const { name, layers, platforms, labels, unusedMs } = image;
  const layout = await makeTinyLayout(directory, {
    ...(layers === undefined ? {} : { layers }),
    ...(platforms === undefined ? {} : { platforms }),
  });
  for (const [digest, bytes] of layout.blobs) {
    if ((await store.content.info(digest)) === undefined) await put(store.content, bytes);
  }
  await store.images.put({ name, target: layout.target, ...(labels === undefined ? {} : { labels }) });
  if (unusedMs !== undefined) {
    await store.database.run('UPDATE images SET used_at = ? WHERE name = ?', [Date.now() - unusedMs, name]);
  }
  return layout;
}

/** Bytes of all blobs of an image. */
export function sizeOf(layout: TinyLayout | undefined): number {
  return [...(layout?.blobs.values() ?? [])].reduce((sum, { length }) => sum + length, 0);
}

/** Bytes of the blobs that only the first of two images has. */
export function sizeOfOwn(layout: TinyLayout | undefined, other: TinyLayout | undefined): number {
  return [...(layout?.blobs.values() ?? [])]
    .filter((bytes) => other?.blobs.has(digestOf(bytes)) !== true)
    .reduce((sum, { length }) => sum + length, 0);
}
