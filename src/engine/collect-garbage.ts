import {
  dropBlobs,
  expirePartials,
  removeOrphanBlobs,
  type SweptBlob,
  unkeptBlobs,
} from '../content/index.js';
import { type Abortable, throwIfAborted } from '../errors.js';
import type { Statements } from '../metadata/index.js';
import type { Digest } from '../spec/index.js';
import { manifestsHere } from './image.js';
import { reachableBlobs } from './images.js';
import type { Store } from './store.js';

export interface CollectGarbageOptions extends Abortable {
  /** Change nothing, and say what would go. Default false. */
  readonly dryRun?: boolean;
  /** Partial downloads that nobody went on with for so long go too, in ms. Default 24 h. */
  readonly partialsOlderThanMs?: number;
}

export interface GarbageReport {
  readonly dryRun: boolean;
  readonly blobs: readonly SweptBlob[];
  /** Names or keys. */
  readonly snapshots: readonly string[];
  /** Digests of partial downloads. */
  readonly partials: readonly Digest[];
  /** Bytes. */
  readonly freed: number;
}

/** What images hold, for as long as no further image comes. */
interface Marked {
  readonly targets: ReadonlySet<Digest>;
  readonly blobs: ReadonlySet<Digest>;
  readonly chains: ReadonlySet<Digest>;
}

const PARTIALS_OLDER_THAN_MS = 24 * 60 * 60 * 1000;

/**
 * Removes what no image, lease, active snapshot or view holds: blobs, snapshots, abandoned unpack directories, and
 * partial downloads that nobody went on with. Safe beside pulls in any number of processes.
 *
 * Marking reads documents and takes its time, so it runs beside everything else. What it found is then acted on in one
 * write transaction, which looks whether an image came that was not marked, and what is leased now: a pull leases what
 * it needs before it looks for it, so either its lease is seen here or it finds the thing gone and fetches it.
 */
export async function collectGarbage(
  store: Store,
  options: CollectGarbageOptions = {},
): Promise<GarbageReport> {
  const { signal, dryRun = false, partialsOlderThanMs = PARTIALS_OLDER_THAN_MS } = options;
  const { blobs, snapshots } = await decide(store, options);
  const orphans = await removeOrphanBlobs(store.root, store.database, { signal, dryRun });
  const directories = await store.snapshotter.removeOrphans({ signal, dryRun, swept: snapshots });
  const expired = await expirePartials(store.root, { signal, dryRun, olderThanMs: partialsOlderThanMs });
  const gone = new Map([...blobs, ...orphans].map((blob) => [blob.digest, blob]));
  const freed =
    [...gone.values()].reduce((sum, { size }) => sum + size, 0) +
    expired.reduce((sum, { bytes }) => sum + bytes, 0) +
    directories.freed;
  return {
    dryRun,
    blobs: [...gone.values()],
    snapshots: [...new Set([...snapshots, ...directories.removed])],
    partials: expired.map(({ digest }) => digest),
    freed,
  };
}

interface Decided {
  readonly blobs: readonly SweptBlob[];
  readonly snapshots: readonly string[];
}

async function decide(store: Store, { signal, dryRun = false }: CollectGarbageOptions): Promise<Decided> {
  for (;;) {
    throwIfAborted(signal);
    const marked = await mark(store, signal);
    const decided = await store.database.transaction((transaction) =>
      sweep(store, marked, transaction, dryRun),
    );
    if (decided !== undefined) return decided;
  }
}

async function mark(store: Store, signal: AbortSignal | undefined): Promise<Marked> {
  const targets = new Set<Digest>();
  const blobs = new Set<Digest>();
  const chains = new Set<Digest>();
  for (const { target } of await store.images.list()) {
    throwIfAborted(signal);
    if (targets.has(target.digest)) continue;
    targets.add(target.digest);
    // One set for all images: what an earlier one reaches is not walked again.
    for await (const blob of reachableBlobs(store.content, target, blobs)) blobs.add(blob.digest);
    for (const manifest of await manifestsHere(store.content, target)) {
      for (const { chainId } of manifest.layers) chains.add(chainId);
    }
  }
  return { targets, blobs, chains };
}

/** Undefined when an image came since the marking. */
async function sweep(
  store: Store,
  marked: Marked,
  transaction: Statements,
  dryRun: boolean,
): Promise<Decided | undefined> {
  const images = await store.images.list(transaction);
  if (images.some(({ target }) => !marked.targets.has(target.digest))) return undefined;
  const leased = await store.leases.resources(transaction);
  const blobs = await unkeptBlobs(transaction, (d) => marked.blobs.has(d) || leased.blobs.has(d));
  const retained = new Set<string>([...marked.chains, ...leased.snapshots]);
  const snapshots = await store.snapshotter.sweep(transaction, { retained, dryRun });
  if (!dryRun) await dropBlobs(transaction, blobs);
  return { blobs, snapshots };
}
