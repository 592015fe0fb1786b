import { type Abortable, LandfallError } from '../../errors.js';
import type { PolicyFile } from '../../trust/index.js';
import { CopySession } from '../copy/copy-session.js';
import type { DeclaredSet } from '../transports/declaration.js';
import type { DestinationTransport } from '../transports/destination.js';
import type {
  EarlierReport,
  PrunedTag,
  SyncedImage,
  SyncEvent,
  SyncFailure,
  SyncResult,
  UnprunedRepository,
} from './sync-result.js';
import { syncImages } from './sync-images.js';
import {
  mapDelivered,
  mapElsewhere,
  mapImages,
  nameOfImage,
  type MappedImage,
  type MirrorPlan,
  type PlannedRepository,
} from './planned.js';
import type { Connection, MirrorDestination, MirrorFile, TransportName } from './mirror-file.js';
import { formatTransport } from './transport-name.js';
import { type OpenSource, planMirror } from './plan-mirror.js';
import { planPrunes, prune, type RepositoryPrune } from './plan-prunes.js';
import { hasRepository, type Shard } from './shard.js';

/** Opens what the file names. What it gives is disposed of by the sync. */
export interface SyncTransports {
  readonly source: OpenSource;
  readonly destination: (transport: TransportName, connection: Connection) => Promise<DestinationTransport>;
}

export interface SyncOptions extends Abortable {
  readonly file: MirrorFile;
  readonly transports: SyncTransports;
  /** Looks at everything and changes nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Looks at all parts of what a registry's tag names already, in place of believing it. Default false. */
  readonly recheck?: boolean | undefined;
  /** Blobs that are on their way at once. Default: that of pulls. */
  readonly concurrency?: number | undefined;
  /** The part of the images that is this worker's. Default: all. */
  readonly shard?: Shard | undefined;
  /** What an earlier run delivered: that is left out. For layouts and archives. */
  readonly since?: EarlierReport | undefined;
  /** What says which signatures each image needs; without it, none. An image that lacks them fails. */
  readonly policy?: PolicyFile | undefined;
  /**
   * Deletes at the destination what the file asks for no more, once it was shown and the answer is yes. Not
   * asked in a run that only looks. Absent: nothing is deleted.
   */
  readonly prune?: ((prunes: readonly RepositoryPrune[]) => Promise<boolean>) | undefined;
  /** Told what happens, at once and one event after the other. What it throws ends the run. */
  readonly onEvent?: ((event: SyncEvent) => void) | undefined;
}

const IMAGES_AT_ONCE = 8;

/**
 * Makes the destinations have what the file asks for, one destination after the other. They are the only
 * state: what one has under its name is not moved again, so that a run that broke off is gone on with by the
 * next, and two at once do no harm.
 *
 * What fails is in the result, and stops nothing else; when `signal` is aborted, all that is left of the
 * images is a failure.
 *
 * Errors: INVALID_CONFIG where nothing was begun; ABORTED before anything was copied
 */
export async function sync(options: SyncOptions): Promise<SyncResult> {
  return await new Sync(options).run();
}

class Sync {
  readonly #options: SyncOptions;
  readonly #session: CopySession;
  readonly #images: SyncedImage[] = [];
  readonly #pruned: PrunedTag[] = [];
  readonly #unpruned: UnprunedRepository[] = [];
  readonly #failures: SyncFailure[] = [];
  readonly #written: string[] = [];

  constructor(options: SyncOptions) {
    this.#options = options;
    const { signal, concurrency, dryRun, recheck, since, policy, onEvent } = options;
    const without = since?.digests;
    this.#session = new CopySession({ signal, concurrency, dryRun, recheck, without, policy, onEvent });
  }

  async run(): Promise<SyncResult> {
    const { file, signal, transports } = this.#options;
    this.#check();
    const session = this.#session;
    const plan = await planMirror(file, {
      openSource: transports.source,
      manifests: session.manifests,
      onTags: (repository, tags) => session.noteTags(repository, tags),
      signal,
    });
    this.#failures.push(...failuresOf(plan, this.#options.shard));
    for (const message of plan.warnings) session.emit({ type: 'warning', message });
    // Before anything is copied, so that a name that two images would have is no matter of luck.
    const mapped = file.destinations.map((one) => mapImages(plan, one, file));
    for (const [at, destination] of file.destinations.entries()) {
      const all = mapped[at] ?? [];
      const images = all.filter(({ planned }) => isMine(planned, this.#options.shard));
      await this.#destination(destination, { all, images, plan });
    }
    return {
      images: this.#images,
      pruned: this.#pruned,
      unpruned: this.#unpruned,
      failures: this.#failures,
      written: this.#written,
      base: this.#options.since?.base ?? [],
    };
  }

  #check(): void {
    const { file, since, shard, prune: pruning } = this.#options;
    if (file.destinations.length === 0) {
      throw new LandfallError('INVALID_CONFIG', `${file.name} names no destination`, {
        hint: 'Name one in the file, or with --to docker://HOST[/PATH], oci:DIR, oci-archive:FILE or store.',
      });
    }
    const running = file.destinations.find(
      ({ transport }) => transport.kind === 'registry' || transport.kind === 'store',
    );
    if (since !== undefined && running !== undefined) {
      throw new LandfallError(
        'INVALID_CONFIG',
        `a delta cannot go to ${formatTransport(running.transport)}`,
        {
          hint: 'It is for oci-archive:FILE and oci:DIR; elsewhere existing content is never moved again.',
        },
      );
    }
    if (pruning !== undefined && shard !== undefined) {
      throw new LandfallError('INVALID_CONFIG', '--prune and --shard exclude each other', {
        hint: 'No shard knows what became of the others: prune in a run of its own, once all are done.',
      });
    }
    const shared = file.destinations.find(
      ({ transport }) => transport.kind === 'archive' && !transport.path.includes(SHARD),
    );
    if (shard !== undefined && shard.count > 1 && shared !== undefined) {
      throw new LandfallError(
        'INVALID_CONFIG',
        `all shards would write ${formatTransport(shared.transport)}`,
        {
          hint: `Put ${SHARD} into the name of the file.`,
        },
      );
    }
  }

  async #destination(
    destination: MirrorDestination,
    o: {
      /** Those of all shards. */
      readonly all: readonly MappedImage[];
      readonly images: readonly MappedImage[];
      readonly plan: MirrorPlan;
    },
  ): Promise<void> {
    const { images, plan } = o;
    const { transports, file, since, shard, signal, onEvent } = this.#options;
    const named = transportOf(destination, shard);
    const name = formatTransport(named);
    const repositories = new Set(images.map(({ to }) => to)).size;
    onEvent?.({ type: 'planned', destination: name, images: images.length, repositories });
    let transport: DestinationTransport;
    try {
      transport = await transports.destination(named, destination.connection);
    } catch (error) {
      this.#failures.push({ subject: name, error });
      return;
    }
    await using opened = transport;
    this.#session.delivered.set(opened.name, mapDelivered(plan, destination));
    let done: SyncedImage[];
    try {
      const atOnce = file.concurrency ?? IMAGES_AT_ONCE;
      done = await syncImages(images, { transport: opened, session: this.#session, since, atOnce, onEvent });
    } catch (error) {
      this.#failures.push({ subject: name, error });
      return;
    }
    try {
      if (signal?.aborted !== true) await this.#prune(opened, { destination, images, plan, done });
    } catch (error) {
      this.#failures.push({ subject: name, error });
    }
    this.#images.push(...(await this.#finish(opened, done, { ...o, destination, name })));
  }

  async #prune(
    transport: DestinationTransport,
    o: {
      readonly destination: MirrorDestination;
      readonly images: readonly MappedImage[];
      readonly plan: MirrorPlan;
      readonly done: readonly SyncedImage[];
    },
  ): Promise<void> {
    const { prune: confirm, dryRun = false, signal, onEvent } = this.#options;
    if (confirm === undefined || transport.kind === 'archive') return;
    const { prunes, unpruned } = await planPrunes(transport, { ...o, session: this.#session });
    this.#unpruned.push(...unpruned);
    if (prunes.length === 0) return;
    if (dryRun) {
      for (const { repository, tags } of prunes) {
        for (const { tag, descriptor } of tags) {
          const destination = `${repository.location}:${tag}`;
          this.#pruned.push({ destination, digest: descriptor.digest, outcome: 'planned' });
        }
      }
      return;
    }
    if (!(await confirm(prunes))) return;
    for (const one of prunes) {
      if (signal?.aborted === true) return;
      const onPruned = (tag: PrunedTag): void => onEvent?.({ type: 'pruned', tag });
      this.#pruned.push(...(await prune(one, { signal, onPruned })));
    }
  }

  /** The set that the images of a destination are of: what it lacks was delivered before, failed, or is another shard's. */
  #setOf(
    done: readonly SyncedImage[],
    {
      all,
      plan,
      destination,
    }: {
      readonly all: readonly MappedImage[];
      readonly plan: MirrorPlan;
      readonly destination: MirrorDestination;
    },
  ): DeclaredSet {
    const base = this.#options.since?.base;
    if (plan.partial.length > 0 || failuresOf(plan).length > 0) return { elsewhere: null, base };
    const names = new Set([...all, ...mapElsewhere(plan, destination)].map(nameOfImage));
    for (const { name, outcome } of done)
      if (outcome === 'copied' || outcome === 'exists') names.delete(name);
    return { elsewhere: [...names].sort(), base };
  }

  /**
   * What was copied is to survive whatever came of the rest; an archive with nothing in it is not written.
   *
   * @returns the images, which are none where an archive could not be written
   */
  async #finish(
    transport: DestinationTransport,
    done: readonly SyncedImage[],
    o: {
      readonly destination: MirrorDestination;
      readonly all: readonly MappedImage[];
      readonly plan: MirrorPlan;
      readonly name: string;
    },
  ): Promise<readonly SyncedImage[]> {
    const { signal, dryRun = false } = this.#options;
    const { name } = o;
    const isArchive = transport.kind === 'archive';
    const isWritten = done.some(({ outcome }) => outcome === 'copied');
    if (dryRun || (isArchive && !isWritten)) return done;
    try {
      // What has nothing of the set needs no word of it.
      const hasSome = done.some(({ outcome }) => outcome === 'copied' || outcome === 'exists');
      if (hasSome) await transport.declare?.(this.#setOf(done, o));
      await transport.finish(isArchive ? { signal } : {});
      if (isWritten) this.#written.push(name);
      return done;
    } catch (error) {
      this.#failures.push({ subject: name, error });
      return isArchive ? done.map((image) => lost(image, error)) : done;
    }
  }
}

/** An image of an archive that was not written. */
function lost(image: SyncedImage, error: unknown): SyncedImage {
  if (image.outcome !== 'copied') return image;
  return { ...image, outcome: 'failed', bytes: 0, contents: [], error };
}

/** Stands for the number of the shard, so that each has an archive of its own. */
const SHARD = '{shard}';

function transportOf({ transport }: MirrorDestination, shard: Shard | undefined): TransportName {
  if (transport.kind === 'registry' || transport.kind === 'store') return transport;
  return { ...transport, path: transport.path.replaceAll(SHARD, String(shard?.index ?? 0)) };
}

/** Of repositories those that are this worker's: another one tells of the others. */
function failuresOf(plan: MirrorPlan, shard?: Shard): SyncFailure[] {
  return [
    ...plan.failures.map(({ subject, error }) => ({ subject, error })),
    ...plan.repositories
      .filter((planned) => planned.failure !== undefined && isMine(planned, shard))
      .map(({ repository, failure }) => ({ subject: repository.location, error: failure })),
  ];
}

function isMine({ repository }: PlannedRepository, shard: Shard | undefined): boolean {
  return shard === undefined || hasRepository(shard, repository.location);
}
