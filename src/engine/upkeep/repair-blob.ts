import { Limiter } from '../../concurrency/index.js';
import { discardQuarantined, quarantineBlob } from '../../content/index.js';
import { optionalTextOf } from '../../metadata/index.js';
import {
  type Descriptor,
  type Digest,
  isIndexType,
  isManifestType,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import { BlobArrivals } from '../pull/blob-arrivals.js';
import { PullBudget } from '../pull/pull-budget.js';
import type { FsckRun, OpenProblem } from './fsck-run.js';

/**
 * Fetches a damaged blob again from where it came, or else from the repositories of the images that need it. The damaged
 * file is put out of the way first, as other programs read it where it lies, and goes when there is a sound one. The row
 * stays all the while: it says where the blob came from, and without a file it counts as absent.
 */
export async function repairBlob(run: FsckRun, problem: OpenProblem, descriptor: Descriptor): Promise<void> {
  const { store } = run;
  const { digest } = descriptor;
  const leased = await store.leases.resources();
  const isNeeded = problem.images.length > 0 || leased.blobs.has(digest);
  let away: string | undefined;
  try {
    away = await quarantineBlob(store.root, digest);
  } catch (error) {
    run.settle(problem, 'unrepaired', run.reasonOf(error));
    return;
  }
  const failure = await fetchAnew(run, descriptor, problem.images);
  if (failure === undefined) {
    if (away !== undefined) await discardQuarantined(away);
    run.settle(problem, 'repaired');
    return;
  }
  if (away !== undefined) problem.path = away;
  const reason = isNeeded ? failure : `${failure}; nothing is known to need it, and gc makes an end of it`;
  run.settle(problem, away === undefined ? 'unrepaired' : 'quarantined', reason);
}

/** Why it could not be fetched; undefined when it is here. */
export async function fetchAnew(
  run: FsckRun,
  descriptor: Descriptor,
  images: readonly string[],
): Promise<string | undefined> {
  const { registry } = run;
  if (registry === undefined) return 'there is no registry to fetch it from';
  const sources = await sourcesOf(run, descriptor.digest, images);
  if (sources.length === 0) return 'nobody knows where it came from';
  const reasons: string[] = [];
  for (const source of sources) {
    try {
      await fetchFrom(run, registry.repository(parseReference(source)), descriptor, source);
      return undefined;
    } catch (error) {
      reasons.push(`${source}: ${run.reasonOf(error)}`);
    }
  }
  return `it cannot be fetched again: ${reasons.join('; ')}`;
}

async function fetchFrom(
  { store, lease, signal }: FsckRun,
  fetcher: ConstructorParameters<typeof BlobArrivals>[0]['fetcher'],
  descriptor: Descriptor,
  source: string,
): Promise<void> {
  const arrivals = new BlobArrivals({
    content: store.localContent,
    fetcher,
    lease,
    source,
    budget: new PullBudget().share(),
    documentLimit: new Limiter(1),
    signal,
    onEvent: () => undefined,
  });
  await arrivals.start(descriptor, roleOf(descriptor)).done;
  await arrivals.settle();
}

function roleOf({ mediaType }: Descriptor): 'index' | 'manifest' | 'other' {
  if (isIndexType(mediaType)) return 'index';
  return isManifestType(mediaType) ? 'manifest' : 'other';
}

/** `registry/repository` each: the recorded one first. */
async function sourcesOf(
  { store }: FsckRun,
  digest: Digest,
  images: readonly string[],
): Promise<readonly string[]> {
  const rows = await store.database.all(
    'SELECT source FROM blobs WHERE digest = ?1 UNION ALL SELECT source FROM discarded WHERE digest = ?1',
    [digest],
  );
  const recorded = rows.flatMap((row) => optionalTextOf(row, 'source') ?? []);
  const repositories = images.map((name) => repositoryName(parseReference(name)));
  return [...new Set([...recorded, ...repositories])];
}
