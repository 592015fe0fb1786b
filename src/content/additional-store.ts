import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { LandfallError, systemCode } from '../errors.js';
import { mayHaveLost, MetadataDatabase } from '../metadata/index.js';
import { bootId } from '../system/index.js';
import { DiscardedBlobs } from './recovery/discarded-blobs.js';
import { ManifestStore } from './images/manifests.js';
import { type ImageCatalog, ImageStore } from './images/images.js';
import type { ListedBlobs } from './store/joined-content-store.js';
import { LocalContentStore } from './store/local-content-store.js';
import { DATABASE_FILE, LAYOUT_FILE } from './store/layout-files.js';

/**
 * A store whose content is used where it lies, and below whose root nothing is ever written: one that a
 * machine image ships with, on a read-only file system. It is trusted as the main store is, and checked by
 * itself (`fsck --root`).
 */
export interface AdditionalStore {
  /** Absolute, and no part of it is a symlink. */
  readonly root: string;
  /** Refuses to be written. */
  readonly database: MetadataDatabase;
  readonly content: ListedBlobs;
  readonly manifests: Pick<ManifestStore, 'all'>;
  /** What it goes without, since its layers are snapshots. */
  readonly discarded: Pick<DiscardedBlobs, 'among'>;
  readonly images: ImageCatalog;
}

type Info = Pick<AdditionalStore, 'manifests' | 'discarded'>;

/**
 * The version of the schema that has facts of this kind first. A store that cannot be written is not
 * migrated.
 */
const FACTS_SINCE = 2;
/** And the one that tells what nobody has synced. */
const MARKS_SINCE = 3;
const NO_FACTS: Info = {
  manifests: { all: () => Promise.resolve(new Map()) },
  discarded: { among: () => Promise.resolve(new Map()) },
};

/**
 * Opens additional stores, in their order; one that is named twice, or is the main store, is opened once or
 * not at all. Their databases are the caller's to close.
 *
 * An error, not a warning, where one cannot be used: without it the next pull would quietly download what the
 * machine was made to have.
 *
 * @param mainRoot - of the store that they are additional to; it exists
 * @throws LandfallError INVALID_CONFIG, naming the directory
 */
export async function openAdditionalStores(
  roots: readonly string[],
  mainRoot: string,
): Promise<readonly AdditionalStore[]> {
  if (roots.length === 0) return [];
  const main = await realpath(mainRoot);
  const opened = new Map<string, AdditionalStore>();
  try {
    for (const named of roots) {
      const root = await realpath(named).catch((error: unknown) => {
        throw noStore(named, error);
      });
      if (root !== main && !opened.has(root)) opened.set(root, await openAdditionalStore(root));
    }
    return [...opened.values()];
  } catch (error) {
    await Promise.all([...opened.values()].map(({ database }) => database.close()));
    throw error;
  }
}

async function openAdditionalStore(root: string): Promise<AdditionalStore> {
  await Promise.all([LAYOUT_FILE, DATABASE_FILE].map((name) => stat(join(root, name)))).catch(
    (error: unknown) => {
      throw noStore(root, error);
    },
  );
  try {
    const database = await MetadataDatabase.openReadOnly(join(root, DATABASE_FILE));
    await refuseNotDurable(database).catch(async (error: unknown) => {
      await database.close();
      throw error;
    });
    return {
      root,
      database,
      content: new LocalContentStore(root, database),
      ...(database.schemaVersion >= FACTS_SINCE ? infoIn(root, database) : NO_FACTS),
      images: new ImageStore(root, database),
    };
  } catch (cause) {
    throw unusable(root, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/**
 * A store that can be written loses what is in doubt when it is opened; here it would be lost for everybody
 * each time anew.
 */
async function refuseNotDurable(database: MetadataDatabase): Promise<void> {
  if (database.schemaVersion < MARKS_SINCE || !(await mayHaveLost(database, bootId()))) return;
  throw new Error(
    'not all of it was synced before the machine stopped, or before it was copied: pull its images again with --root',
  );
}

function infoIn(root: string, database: MetadataDatabase): Info {
  const manifests = new ManifestStore(database);
  return { manifests, discarded: new DiscardedBlobs({ root, database, manifests }) };
}

function noStore(root: string, cause: unknown): LandfallError {
  const code = systemCode(cause);
  return unusable(root, code === 'ENOENT' ? 'there is no store' : (code ?? String(cause)), cause);
}

function unusable(root: string, fault: string, cause: unknown): LandfallError {
  return new LandfallError('INVALID_CONFIG', `the additional store ${root} cannot be used: ${fault}`, {
    cause,
    details: { path: root },
    hint: 'Mount it, or leave it out of --additional-root and LANDFALL_ADDITIONAL_ROOTS.',
  });
}
