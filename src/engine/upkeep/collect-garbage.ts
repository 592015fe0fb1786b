import {
  discardAgain,
  ManifestGraph,
  dropBlobs,
  dropUnreachableDiscarded,
  expirePartials,
  expireUploads,
  forgetVerifications,
  type ImageRecord,
  onReserve,
  removeOrphanBlobs,
  sweepTemporaries,
  type SweptBlob,
  unkeptBlobs,
} from '../../content/index.js';
import { type Abortable, throwIfAborted } from '../../errors.js';
import { type Statements, textOf, type Transaction } from '../../metadata/index.js';
import { type Descriptor, type Digest, isIndexType, parseDigest } from '../../spec/index.js';
import { faultPoint } from '../../system/index.js';
import type { SweptSnapshots } from '../../unpack/index.js';
import { recordMissingManifests } from '../images/image.js';
import { settleStore, type Store } from '../store.js';

export interface CollectGarbageOptions extends Abortable {
  /** Change nothing, and say what would go. Default false. */
  readonly dryRun?: boolean;
  /** Partial downloads and pushes that did not go on for so long go too, in ms. Default 24 h. */
  readonly partialsOlderThanMs?: number;
  /**
   * Images that were not used for so long go too, unless they are pinned or mounted, in ms. Default: none.
   */
  readonly unusedForMs?: number;
}

/** What went, or in a dry run would go. */
export interface GarbageReport {
  /** Whether nothing was changed. */
  readonly dryRun: boolean;
  /** Names that went for being unused. */
  readonly images: readonly string[];
  /** Blobs that are not needed. */
  readonly blobs: readonly SweptBlob[];
  /** Names or keys. */
  readonly snapshots: readonly string[];
  /** Digests of partial downloads. */
  readonly partials: readonly Digest[];
  /** Pushes of blobs that began, and did not end. */
  readonly uploads: number;
  /** Bytes. */
  readonly freed: number;
  /** What kept the collection from taking all that it could. */
  readonly warnings: readonly string[];
}

const PARTIALS_OLDER_THAN_MS = 24 * 60 * 60 * 1000;

/**
 * Removes what no image, lease, active snapshot or view holds: blobs, snapshots, abandoned unpack
 * directories, and partial downloads that did not go on. Safe beside pulls in any number of
 * processes.
 *
 * What is held is decided in one write transaction, from what the database knows of manifests, images and
 * leases. A pull leases what it needs before it looks for it, so either its lease is seen here or it finds
 * the thing gone and fetches it. Files and directories go afterwards; what a crash leaves of them, the next
 * collection finds.
 *
 * @throws {@link ContentError} FILESYSTEM, STORE_CORRUPT, LOCKED; {@link LandfallError} ABORTED: what is
 *   gone by then is gone
 */
export async function collectGarbage(
  store: Store,
  options: CollectGarbageOptions = {},
): Promise<GarbageReport> {
  const { signal, dryRun = false, partialsOlderThanMs = PARTIALS_OLDER_THAN_MS } = options;
  // Housekeeping: what pulls left unsynced need not be lost at the next boot.
  if (!dryRun) await settleStore(store);
  const { images, blobs, snapshots, warnings } = await onReserve(store.root, () => decide(store, options));
  faultPoint('gc:committed');
  const orphans = await removeOrphanBlobs(store.root, store.database, { signal, dryRun });
  faultPoint('gc:blobs-removed');
  const directories = await store.snapshotter.removeOrphans({ signal, dryRun, swept: snapshots.directories });
  faultPoint('gc:snapshots-removed');
  const expired = await expirePartials(store.root, { signal, dryRun, olderThanMs: partialsOlderThanMs });
  const abandoned = await expireUploads(store.root, { signal, dryRun, olderThanMs: partialsOlderThanMs });
  if (!dryRun) await sweepTemporaries(store.root, { signal });
  const gone = new Map([...blobs, ...orphans].map((blob) => [blob.digest, blob]));
  const freed =
    [...gone.values()].reduce((sum, { size }) => sum + size, 0) +
    expired.reduce((sum, { bytes }) => sum + bytes, 0) +
    abandoned.bytes +
    directories.freed;
  return {
    dryRun,
    images,
    blobs: [...gone.values()],
    snapshots: [...new Set([...snapshots.names, ...directories.removed])],
    partials: expired.map(({ digest }) => digest),
    uploads: abandoned.uploads,
    freed,
    warnings,
  };
}

interface Decided {
  readonly images: readonly string[];
  readonly blobs: readonly SweptBlob[];
  readonly snapshots: SweptSnapshots;
  readonly warnings: readonly string[];
}

async function decide(store: Store, options: CollectGarbageOptions): Promise<Decided> {
  for (;;) {
    throwIfAborted(options.signal);
    await store.leases.sweep();
    const unreadable = await recordMissingManifests(store, { signal: options.signal });
    faultPoint('gc:marked');
    const decided = await store.images.deleteWithin((transaction, drop) =>
      sweep(store, { ...options, unreadable, transaction, drop }),
    );
    if (decided !== undefined) return decided;
  }
}

interface Sweep extends CollectGarbageOptions {
  readonly unreadable: ReadonlyMap<Digest, string>;
  readonly transaction: Transaction;
  readonly drop: (name: string) => Promise<boolean>;
}

/** Undefined when an image came meanwhile of which nothing is recorded. */
async function sweep(
  store: Store,
  { unreadable, transaction, drop, dryRun = false, unusedForMs }: Sweep,
): Promise<Decided | undefined> {
  const all = await store.images.list(transaction);
  const graph = new ManifestGraph(await store.manifests.all(transaction));
  const unused =
    unusedForMs === undefined
      ? []
      : await unusedImages(store, transaction, { images: all, graph, unusedForMs });
  const gone = new Set(unused.map(({ name }) => name));
  const unknown = (await store.manifests.unrecorded(transaction)).filter(({ name }) => !gone.has(name));
  if (unknown.some(({ target }) => !unreadable.has(target.digest))) return undefined;
  if (!dryRun) for (const name of gone) await drop(name);
  if (unknown.length > 0) return keepAll([...gone], unknown);
  const images = all.filter(({ name }) => !gone.has(name));
  const leased = await store.leases.resources(transaction);
  const held = graph.reach([...images.map(({ target }) => target.digest), ...leased.blobs]);
  const retained = new Set<string>([...held.chains, ...leased.snapshots]);
  const snapshots = await store.snapshotter.sweep(transaction, { retained, dryRun });
  faultPoint('gc:snapshots-swept');
  const blobs = [
    ...(await unkeptBlobs(transaction, (digest) => held.blobs.has(digest))),
    ...(await discardAgain(transaction, store.manifests, { dryRun })),
  ];
  if (!dryRun) {
    await dropBlobs(transaction, blobs);
    await dropUnreachableDiscarded(transaction, (digest) => held.blobs.has(digest));
    const unreached = [...graph.digests()].filter((digest) => !held.blobs.has(digest));
    for (const digest of unreached) await store.manifests.delete(digest, transaction);
    await forgetVerifications(transaction, unreached);
  }
  faultPoint('gc:decided');
  return { images: [...gone], blobs, snapshots, warnings: [] };
}

/** What an image holds whose target cannot be read may be anything that is here. */
function keepAll(
  images: readonly string[],
  unknown: readonly { name: string; target: Descriptor }[],
): Decided {
  return {
    images,
    blobs: [],
    snapshots: { names: [], directories: [] },
    warnings: unknown.map(
      ({ name, target }) =>
        `${name} is damaged: its ${isIndexType(target.mediaType) ? 'index' : 'manifest'} cannot be read, so the blobs that it needs are not known, and no blob or snapshot was removed; mend it with landfall fsck --repair, or remove it`,
    ),
  };
}

/**
 * The images that were not used for so long, and are not kept: neither pinned, nor is something mounted or
 * running on them.
 */
async function unusedImages(
  { daemonPins }: Pick<Store, 'daemonPins'>,
  statements: Statements,
  {
    images,
    graph,
    unusedForMs,
  }: {
    readonly images: readonly ImageRecord[];
    readonly graph: ManifestGraph;
    readonly unusedForMs: number;
  },
): Promise<readonly ImageRecord[]> {
  const before = Date.now() - unusedForMs;
  const pinnedBy = await daemonPins.of(statements);
  const old = images.filter(
    ({ name, pinned, usedAt }) => usedAt.getTime() <= before && !pinned && pinnedBy(name).length === 0,
  );
  if (old.length === 0) return [];
  const inUse = await chainsInUse(statements);
  return old.filter(({ target }) => {
    const tops = graph.manifests(target.digest).map(({ chainIds }) => chainIds.at(-1));
    return !tops.some((chainId) => chainId !== undefined && inUse.has(chainId));
  });
}

/** The chains on which an active snapshot or a view stands. */
async function chainsInUse(statements: Statements): Promise<ReadonlySet<Digest>> {
  const rows = await statements.all(
    `SELECT DISTINCT chains.chain_id FROM chains JOIN snapshots ON snapshots.parent_id = chains.snapshot_id
     WHERE snapshots.kind <> 'committed'`,
  );
  return new Set(rows.map((row) => parseDigest(textOf(row, 'chain_id'))));
}
