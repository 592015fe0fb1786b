import {
  completeLayout,
  type DamagedBlob,
  ManifestStore,
  LocalContentStore,
  type NamedTarget,
  rebuildBlobs,
  rebuildDatabase,
  rebuildDiscarded,
  rebuildManifests,
  rebuildImages,
  type RebuiltBlobs,
  type RebuiltImages,
} from '../../content/index.js';
import { type Abortable, LandfallError } from '../../errors.js';
import type { DamagedDatabase, MetadataDatabase } from '../../metadata/index.js';
import { rebuildSnapshots, type RebuiltSnapshots, SetAside } from '../../unpack/index.js';
import { recordManifests } from '../images/image.js';
import { inferDiscarded } from '../images/layer-blobs.js';

export type RebuildStep = 'blobs' | 'images' | 'snapshots' | 'manifests' | 'database';

export interface RebuildOptions extends Abortable {
  /** Whether also a database without a fault, or one of a newer program, is replaced. Default false. */
  readonly force?: boolean;
  /** Called with each step when it begins. */
  readonly onStep?: (step: RebuildStep) => void;
}

/** What became of a store whose database was made anew. Safe to be written as JSON. */
export interface RebuildReport {
  readonly root: string;
  /** Where the old database is kept, where there was one. */
  readonly database: { readonly kept?: string };
  readonly images: readonly NamedTarget[];
  /** Images whose target is missing or damaged: pull them again. */
  readonly lostImages: readonly NamedTarget[];
  /** How many blobs were recorded. */
  readonly blobs: number;
  /**
   * Files that do not hold what their names say. A pull, or a repair, of the images that need them replaces
   * them.
   */
  readonly damagedBlobs: readonly DamagedBlob[];
  /** How many snapshots were recorded. */
  readonly snapshots: number;
  /** Names of those whose content is missing; a pull of their image unpacks them again. */
  readonly lostSnapshots: readonly string[];
  /** Directories of snapshots whose parents are not known, and where each was put. */
  readonly quarantined: readonly string[];
  /** What could not be known, in words. */
  readonly unknown: readonly string[];
  readonly durationMs: number;
}

interface Rebuilt {
  readonly blobs: RebuiltBlobs;
  readonly images: RebuiltImages;
  readonly snapshots: RebuiltSnapshots;
  readonly unreadable: readonly string[];
  readonly discardedKnown: boolean;
  readonly discardedInferred: number;
  readonly quarantined: readonly string[];
}

/**
 * Makes a new database for a store that has lost its own, out of `index.json`, the blobs and the snapshots;
 * what the old one still tells is taken over where it fits these. Every blob is digested again. Works on a
 * root that cannot be opened.
 *
 * Errors: INVALID_CONFIG (there is no store, or its database has no fault), IN_USE (a process has it open),
 * UNSUPPORTED (a newer program wrote it), NO_SPACE, FILESYSTEM, ABORTED. All of them leave the store as it
 * was.
 */
export async function rebuildStore(root: string, options: RebuildOptions = {}): Promise<RebuildReport> {
  const begun = performance.now();
  const aside = new SetAside(root);
  const emit = options.onStep ?? ((): void => undefined);
  let replaced;
  try {
    replaced = await rebuildDatabase(root, (database, old) => fill(database, old, aside), {
      signal: options.signal,
      force: options.force,
    });
  } catch (error) {
    aside.undo();
    throw error;
  }
  await completeLayout(root);
  const { result, kept } = replaced;
  return {
    root,
    database: kept === undefined ? {} : { kept },
    images: result.images.images.map(({ name, target }) => ({ name, digest: target.digest })),
    lostImages: result.images.lost,
    blobs: result.blobs.count,
    damagedBlobs: result.blobs.damaged,
    snapshots: result.snapshots.count,
    lostSnapshots: result.snapshots.lost,
    quarantined: result.quarantined,
    unknown: unknownOf(result, kept !== undefined),
    durationMs: Math.round(performance.now() - begun),
  };

  async function fill(
    database: MetadataDatabase,
    old: DamagedDatabase | undefined,
    setAside: SetAside,
  ): Promise<Rebuilt> {
    emit('blobs');
    const blobs = await rebuildBlobs(root, database, old, options);
    emit('images');
    const images = await rebuildImages(root, database, old);
    emit('snapshots');
    const snapshots = await rebuildSnapshots(root, database, old, options);
    emit('manifests');
    const unreadable = await readManifests(root, database, images);
    await rebuildManifests(database, old);
    const discardedKnown = await rebuildDiscarded(database, old);
    const discardedInferred = discardedKnown ? 0 : await inferDiscarded(root, database, images.images);
    emit('database');
    const quarantined = setAside.move(snapshots.unknown);
    return { blobs, images, snapshots, unreadable, discardedKnown, discardedInferred, quarantined };
  }
}

/** Names of the images of which not all could be read. */
async function readManifests(
  root: string,
  database: MetadataDatabase,
  { images }: RebuiltImages,
): Promise<readonly string[]> {
  const store = {
    database,
    content: new LocalContentStore(root, database),
    manifests: new ManifestStore(database),
  };
  const unreadable: string[] = [];
  for (const { name, target } of images) {
    try {
      await recordManifests(store, target, { incomplete: 'record' });
    } catch (error) {
      if (!(error instanceof LandfallError)) throw error;
      unreadable.push(name);
    }
  }
  return unreadable;
}

function unknownOf(rebuilt: Rebuilt, hadDatabase: boolean): readonly string[] {
  const { blobs, images, snapshots, unreadable, discardedKnown, discardedInferred, quarantined } = rebuilt;
  const lines = [
    ...(blobs.complete ? [] : ['where some blobs came from, their labels, and the repositories that have them']),
    ...(images.complete ? [] : ['which images were pinned, their labels, and when each was made and last used']),
    ...(images.indexFault === undefined ? [] : [`the names of images, as far as only index.json had them: it ${images.indexFault}`]),
    ...(snapshots.complete ? [] : ['labels of snapshots, and which of them were active or views']),
    ...(quarantined.length === 0 ? [] : ['what the snapshots in quarantine stand on']),
    ...unreadable.map((name) => `what ${name} holds: its manifest cannot be read`),
    ...(discardedKnown ? [] : [discardedInferred === 0 ? 'which layers were dropped once they were unpacked' : `which layers were dropped once they were unpacked: ${discardedInferred} without a blob are taken for such`]),
    'whether the files of each snapshot are whole: landfall fsck holds them against their layers',
  ]; // prettier-ignore
  return hadDatabase ? lines : ['what only the database knew, which was lost', ...lines];
}
