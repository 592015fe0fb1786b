import {
  type BlobFault,
  blobPath,
  checkBlobs,
  checkDatabase,
  discardQuarantined,
  findMissingBlobs,
  imagesWithBlob,
  imagesWithChain,
  quarantineBlob,
} from '../../content/index.js';
import { LandfallError, throwIfAborted } from '../../errors.js';
import { integerOf, optionalTextOf, textOf } from '../../metadata/index.js';
import {
  childrenOf,
  type Descriptor,
  type Digest,
  isConfigType,
  isIndexType,
  isManifestType,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import { recordManifests, recordMissingManifests } from '../images/image.js';
import { readConfig, readManifest } from '../images/read-manifest.js';
import { BlobDownloads } from '../pull/blob-downloads.js';
import { PullBudget } from '../pull/pull-budget.js';
import { describeBlob, type FsckRun, type OpenProblem } from './fsck-run.js';

/**
 * Each image's index, manifests and configs can be read, and what they list is here. A manifest below an
 * index counts if it was recorded: the others are of platforms that were not pulled, or of a pull
 * that did not end.
 */
export async function manifestsStep(run: FsckRun): Promise<number> {
  const check = new ManifestCheck(run, await digestsIn(run, 'blobs'), await digestsIn(run, 'discarded'));
  for (const { target } of await run.store.images.list()) await check.manifest(target);
  return check.checked;
}

async function digestsIn({ store }: FsckRun, table: 'blobs' | 'discarded'): Promise<ReadonlySet<string>> {
  const rows = await store.database.all(`SELECT digest FROM ${table}`);
  return new Set(rows.map((row) => textOf(row, 'digest')));
}

class ManifestCheck {
  /** Manifests that were read. */
  checked = 0;
  readonly #run: FsckRun;
  /** What the database lists; the steps before looked whether the files are there. */
  readonly #recorded: ReadonlySet<string>;
  readonly #discarded: ReadonlySet<string>;
  readonly #seen = new Set<Digest>();

  constructor(run: FsckRun, recorded: ReadonlySet<string>, discarded: ReadonlySet<string>) {
    this.#run = run;
    this.#recorded = recorded;
    this.#discarded = discarded;
  }

  /** An index or a manifest that must be here, with all that must be here below it. */
  async manifest(descriptor: Descriptor): Promise<void> {
    throwIfAborted(this.#run.signal);
    const { digest, mediaType } = descriptor;
    if (this.#seen.has(digest)) return;
    this.#seen.add(digest);
    await this.#require(descriptor);
    if (!isIndexType(mediaType) && !isManifestType(mediaType)) return;
    this.checked += 1;
    const manifest = await this.#read(descriptor, (d) => readManifest(this.#run.store.content, d));
    if (manifest !== undefined) await this.#record(descriptor);
    const children = manifest === undefined ? await this.#rememberedChildren(digest) : childrenOf(manifest);
    if (isIndexType(mediaType)) await this.#entries(children);
    else await this.#content(children);
  }

  /** What an image's target says is unknown where it was damaged from the beginning. */
  async #record(descriptor: Descriptor): Promise<void> {
    const { store } = this.#run;
    if ((await store.manifests.get(descriptor.digest)) !== undefined) return;
    await recordManifests(store, descriptor);
  }

  async #entries(entries: readonly Descriptor[]): Promise<void> {
    const { manifests } = this.#run.store;
    for (const entry of entries) {
      const info = await manifests.get(entry.digest);
      if (info !== undefined) await this.manifest({ ...entry, mediaType: info.mediaType });
    }
  }

  /** A manifest's config and layers. */
  async #content(children: readonly Descriptor[]): Promise<void> {
    for (const child of children) {
      if (this.#seen.has(child.digest)) continue;
      this.#seen.add(child.digest);
      if (this.#discarded.has(child.digest)) continue;
      await this.#require(child);
      if (!isConfigType(child.mediaType)) continue;
      this.checked += 1;
      await this.#read(child, (d) => readConfig(this.#run.store.content, d));
    }
  }

  async #require(descriptor: Descriptor): Promise<void> {
    const { digest } = descriptor;
    if (this.#recorded.has(digest) || this.#run.blobProblems.has(digest)) return;
    if ((await this.#run.store.content.info(digest)) !== undefined) return;
    // Removed with its image, after the images were listed.
    if ((await imagesWithBlob(this.#run.store.database, digest)).length === 0) return;
    const detail = 'it is missing, and the database does not know it any more';
    await takeBlobFault(this.#run, { digest, kind: 'blob-missing', detail }, descriptor);
  }

  async #read<T extends object>(
    descriptor: Descriptor,
    read: (descriptor: Descriptor) => Promise<T>,
  ): Promise<T | undefined> {
    const run = this.#run;
    if (run.isDamaged(descriptor.digest)) return undefined;
    try {
      return await read(descriptor);
    } catch (error) {
      throwIfAborted(run.signal);
      if (!(error instanceof LandfallError)) throw error;
      await this.#invalid(descriptor, error as LandfallError);
      return run.isDamaged(descriptor.digest) ? undefined : await read(descriptor).catch(() => undefined);
    }
  }

  async #invalid(descriptor: Descriptor, error: LandfallError): Promise<void> {
    const run = this.#run;
    const { digest } = descriptor;
    const images = await imagesWithBlob(run.store.database, digest);
    // Removed with its image, after the images were listed.
    if (images.length === 0) return;
    if (error.code === 'DIGEST_MISMATCH' || error.code === 'STORE_CORRUPT') {
      await takeBlobFault(run, { digest, kind: 'blob-digest', detail: error.message }, descriptor);
      return;
    }
    const problem = run.report({ kind: 'manifest-invalid', subject: digest, detail: error.message, images });
    run.blobProblems.set(digest, problem);
    if (run.repair) run.settle(problem, 'unrepaired', error.hint);
  }

  /** What a manifest that cannot be read listed. */
  async #rememberedChildren(digest: Digest): Promise<readonly Descriptor[]> {
    const { manifests } = this.#run.store;
    const info = await manifests.get(digest);
    const children: Descriptor[] = [];
    for (const child of info?.children ?? []) {
      const known = await manifests.get(child.digest);
      children.push({ ...child, mediaType: known?.mediaType ?? '' });
    }
    return children;
  }
}

/**
 * The database itself, and its rows against the disk. What the disk has and no row names, `orphans` tells.
 */
export async function databaseStep(run: FsckRun): Promise<number> {
  const { store, signal } = run;
  for (const detail of await checkDatabase(store.database, { quick: run.quick })) {
    const { file: path } = store.database;
    const problem = run.report({
      kind: 'database-damaged',
      subject: 'metadata.db',
      path,
      detail,
      images: [],
    });
    if (run.repair) run.settle(problem, 'unrepaired', 'rebuild it: landfall fsck --rebuild');
  }
  if (run.problems.some(({ kind }) => kind === 'database-damaged')) return 1;
  // An older program recorded nothing of what its images consist of.
  await recordMissingManifests(store, { signal });
  const { checked, faults } = await findMissingBlobs(store.root, store.database, { signal });
  for (const fault of faults) await takeBlobFault(run, fault);
  return checked + (await findLostSnapshots(run));
}

/** Each blob's size, and its digest. */
export async function blobsStep(run: FsckRun): Promise<number> {
  const { store, signal, quick } = run;
  const { checked, faults } = await checkBlobs(store.root, store.database, { signal, quick });
  for (const fault of faults) await takeBlobFault(run, fault);
  return checked;
}

/**
 * Reports a damaged blob, and repairs it if it is to be.
 *
 * @param known - its descriptor, where that is known
 */
async function takeBlobFault(run: FsckRun, fault: BlobFault, known?: Descriptor): Promise<void> {
  const { store } = run;
  const { kind, digest, detail } = fault;
  const images = await imagesWithBlob(store.database, digest);
  const path = blobPath(store.root, digest);
  const problem = run.report({ kind, subject: digest, path, detail, images });
  run.blobProblems.set(digest, problem);
  if (!run.repair) return;
  const row = await store.database.get('SELECT size FROM blobs WHERE digest = ?', [digest]);
  const size = row === undefined ? 0 : integerOf(row, 'size');
  await repairBlob(run, problem, known ?? (await describeBlob(store, digest, size)));
}

/** Snapshots without a directory are repaired in their own step: parents first, when the blobs are. */
async function findLostSnapshots(run: FsckRun): Promise<number> {
  const { snapshotter, database } = run.store;
  await using check = await snapshotter.check();
  const snapshots = check.generations.flat();
  for (const snapshot of snapshots) {
    if (check.exists(snapshot) || !(await check.isKnown(snapshot))) continue;
    const { number, name, chain } = snapshot;
    const problem = run.report({
      kind: 'snapshot-missing',
      subject: name,
      path: check.pathOf(snapshot),
      detail: 'its directory is missing',
      images: chain === undefined ? [] : await imagesWithChain(database, chain.chainId),
    });
    run.lostSnapshots.set(number, problem);
  }
  return snapshots.length;
}

/**
 * Fetches a damaged blob again from where it came, or else from the repositories of the images that need
 * it. The damaged file is put out of the way first, as other programs read it where it lies, and goes when
 * there is a sound one. The row stays all the while: it says where the blob came from, and without a file
 * it counts as absent.
 */
async function repairBlob(run: FsckRun, problem: OpenProblem, descriptor: Descriptor): Promise<void> {
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
  const { store, registry, lease, signal } = run;
  if (registry === undefined) return 'there is no registry to fetch it from';
  const sources = await sourcesOf(run, descriptor.digest, images);
  if (sources.length === 0) return 'its source is not known';
  const reasons: string[] = [];
  for (const source of sources) {
    try {
      const downloads = new BlobDownloads({
        content: store.localContent,
        fetcher: registry.repository(parseReference(source)),
        lease,
        source,
        budget: new PullBudget().share(),
        signal,
      });
      await downloads.start(descriptor, roleOf(descriptor)).done;
      await downloads.settle();
      return undefined;
    } catch (error) {
      reasons.push(`${source}: ${run.reasonOf(error)}`);
    }
  }
  return `it cannot be fetched again: ${reasons.join('; ')}`;
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
