import { Limiter, ResultCache } from '../../concurrency/index.js';
import { isSilent } from '../../engine/images/read-manifest.js';
import { type Abortable, isLandfallError, LandfallError, throwIfAborted } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  isConfigType,
  isDigest,
  isRunnablePlatform,
  parseImageConfig,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import { type Declaration, deliveries, isPartUnknown } from '../transports/declaration.js';
import type { SourceTransport, SourceRepository } from '../transports/destination.js';
import type { ManifestReader } from '../transports/manifest-reader.js';
import {
  type Connection,
  type MirrorFile,
  type MirrorSource,
  type TransportName,
  type Selection,
  selectTags,
} from './mirror-file.js';
import { formatTransport } from './transport-name.js';
import { type MirrorPlan, PlannedRepository, type SourceFailure, type WantedImage } from './planned.js';

const NOTHING_DELIVERED: MirrorPlan['delivered'] = new Map();
/** Repositories that are listed at once. */
const LISTED_AT_ONCE = 8;
/** Images whose dates are read at once, of a repository. */
const DATED_AT_ONCE = 8;

export type OpenSource = (transport: TransportName, connection: Connection) => Promise<SourceTransport>;

export interface PlanMirrorOptions extends Abortable {
  readonly openSource: OpenSource;
  readonly manifests: ManifestReader;
  /** Told the tags of each repository that was listed. */
  readonly onTags?: ((repository: SourceRepository, tags: readonly string[]) => void) | undefined;
}

/**
 * Finds what the file asks for: each repository is listed once, and of its tags nothing is asked that no rule
 * is about. What fails is noted, and stops nothing else. Errors: ABORTED.
 */
export async function planMirror(file: MirrorFile, options: PlanMirrorOptions): Promise<MirrorPlan> {
  const planner = new Planner(options);
  const planned = await Promise.all(file.sources.map((source) => planner.source(source)));
  return {
    repositories: planned.flatMap(({ repositories }) => repositories),
    failures: planned.flatMap(({ failures }) => failures),
    partial: planned.flatMap(({ partial }) => partial),
    delivered: new Map(planned.flatMap(({ delivered }) => [...delivered])),
    warnings: planned.flatMap(({ warnings }) => warnings),
  };
}

class Planner {
  readonly #options: PlanMirrorOptions;
  readonly #dates: CreatedDates;
  readonly #limiter = new Limiter(LISTED_AT_ONCE);

  constructor(options: PlanMirrorOptions) {
    this.#options = options;
    this.#dates = new CreatedDates(options.manifests);
  }

  async source(source: MirrorSource): Promise<MirrorPlan> {
    const failures: SourceFailure[] = [];
    const warnings: string[] = [];
    const { transport: name, connection, selections } = source;
    const subject = formatTransport(name);
    let transport: SourceTransport;
    let declaration: Declaration | undefined;
    try {
      transport = await this.#options.openSource(name, connection);
      declaration = await transport.declaration?.();
    } catch (error) {
      throwIfAborted(this.#options.signal);
      const failure = { source, subject, error };
      return { repositories: [], failures: [failure], partial: [], delivered: NOTHING_DELIVERED, warnings };
    }
    const elsewhere = elsewhereOf(declaration);
    const partial = declaration !== undefined && isPartUnknown(declaration) ? [source] : [];
    const named = new Map<string, Selection[]>();
    for (const selection of selections.filter((one) => one.name !== undefined)) {
      const full = fullName(name, selection.name ?? '');
      named.set(full, [...(named.get(full) ?? []), selection]);
    }
    await this.#expand({ source, transport, subject, named, elsewhere, failures, warnings });
    const repositories = await Promise.all(
      [...named].map(([repository, chosen]) =>
        this.#limiter.run(() =>
          this.#repository(transport.repository(repository), chosen, {
            source,
            elsewhere: elsewhere.get(repository) ?? [],
            warnings,
          }),
        ),
      ),
    );
    const delivered = new Map(
      [...deliveries(declaration ?? { omitted: [] })].map(([digest, repository]) => [
        digest,
        { source, repository },
      ]),
    );
    return { repositories, failures, partial, delivered, warnings };
  }

  /** Puts the repositories that patterns mean beside those that are named. */
  async #expand(o: {
    readonly source: MirrorSource;
    readonly transport: SourceTransport;
    readonly subject: string;
    readonly named: Map<string, Selection[]>;
    readonly elsewhere: ReadonlyMap<string, readonly string[]>;
    readonly failures: SourceFailure[];
    readonly warnings: string[];
  }): Promise<void> {
    const patterns = o.source.selections.filter((selection) => selection.matches !== undefined);
    if (patterns.length === 0) return;
    let all: readonly string[];
    try {
      const here = await o.transport.repositories({ signal: this.#options.signal });
      all = [...new Set([...here, ...o.elsewhere.keys()])];
    } catch (error) {
      throwIfAborted(this.#options.signal);
      const subject = `${o.subject}: ${patterns.map(({ text }) => text).join(', ')}`;
      o.failures.push({ source: o.source, subject, error });
      return;
    }
    for (const pattern of patterns) {
      const found = all.filter((full) => pattern.matches?.(shortName(o.source.transport, full)) === true);
      if (found.length === 0) o.warnings.push(`${o.subject}: no repository fits ${pattern.text}`);
      for (const full of found) {
        const chosen = o.named.get(full) ?? [];
        if (!chosen.some(({ isOwn }) => isOwn)) o.named.set(full, [...chosen, pattern]);
      }
    }
  }

  async #repository(
    repository: SourceRepository,
    selections: readonly Selection[],
    o: {
      readonly source: MirrorSource;
      /** Tags and digests of its images that are not there, as its archive declares. */
      readonly elsewhere: readonly string[];
      readonly warnings: string[];
    },
  ): Promise<PlannedRepository> {
    const { source, elsewhere, warnings } = o;
    const { signal, onTags } = this.#options;
    const resolved = new Map<string, Descriptor>();
    const images = new Map<string, WantedImage>();
    const absent = await wantedElsewhere(selections, elsewhere);
    try {
      if (repository.name === '') throw nameless(repository);
      const tags = selections.some(({ tags: { listed } }) => listed !== undefined)
        ? await listTags(repository, { mayHaveNone: elsewhere.length > 0, signal })
        : undefined;
      if (tags !== undefined) onTags?.(repository, tags);
      for (const selection of selections) {
        const chosen = await selectTags(selection.tags, tags ?? [], this.#dating(repository, resolved));
        for (const image of imagesOf(selection, chosen)) {
          const key = `${image.from} ${image.to ?? ''}`;
          if (!images.has(key) && !elsewhere.includes(image.from)) images.set(key, image);
        }
      }
      if (images.size + absent.length === 0) warnings.push(`${repository.location}: no tag is wanted`);
      return new PlannedRepository({
        ...{ source, repository, images: [...images.values()], elsewhere: absent, resolved },
      });
    } catch (failure) {
      throwIfAborted(signal);
      // What is wanted by its name needs no list.
      const certain = selections.flatMap((selection) =>
        imagesOf(
          selection,
          selection.tags.list.map(({ tag }) => tag),
        ),
      );
      return new PlannedRepository({
        ...{ source, repository, images: certain, elsewhere: absent, failure, resolved },
      });
    }
  }

  #dating(
    repository: SourceRepository,
    resolved: Map<string, Descriptor>,
  ): (tag: string) => Promise<number | undefined> {
    const { signal } = this.#options;
    const limiter = new Limiter(DATED_AT_ONCE);
    return async (tag) =>
      await limiter.run(async () => {
        const image = resolved.get(tag) ?? (await repository.resolve(tag, { signal }));
        // It was deleted since it was listed.
        if (image === undefined) return undefined;
        resolved.set(tag, image);
        return await this.#dates.of(repository, image, { signal });
      });
  }
}

/** By repository: the tags and digests of images that belong to the set and are not there. */
function elsewhereOf(declaration: Declaration | undefined): ReadonlyMap<string, readonly string[]> {
  const byRepository = new Map<string, string[]>();
  for (const name of declaration?.elsewhere ?? []) {
    const reference = parseReference(name);
    const key = repositoryName(reference);
    const from = reference.digest ?? reference.tag ?? 'latest';
    byRepository.set(key, [...(byRepository.get(key) ?? []), from]);
  }
  return byRepository;
}

/**
 * Images that are elsewhere, as far as the file asks for them by their names. Rules about dates and numbers do
 * not count: what they would leave out cannot be told from here, and is better kept.
 */
async function wantedElsewhere(
  selections: readonly Selection[],
  elsewhere: readonly string[],
): Promise<WantedImage[]> {
  const wanted = new Map<string, WantedImage>();
  for (const selection of elsewhere.length === 0 ? [] : selections) {
    const { list, listed } = selection.tags;
    const byName = listed && { ...listed, since: undefined, newest: undefined };
    const tags = elsewhere.filter((one) => !isDigest(one));
    const chosen = await selectTags({ list, listed: byName }, tags, () => Promise.resolve(undefined));
    const digests = elsewhere.filter((one): one is Digest => isDigest(one));
    for (const image of imagesOf({ ...selection, digests }, chosen))
      if (elsewhere.includes(image.from)) wanted.set(`${image.from} ${image.to ?? ''}`, image);
  }
  return [...wanted.values()];
}

async function listTags(
  repository: SourceRepository,
  { mayHaveNone, signal }: Abortable & { readonly mayHaveNone: boolean },
): Promise<string[]> {
  const tags: string[] = [];
  try {
    for await (const tag of repository.tags({ signal })) tags.push(tag);
  } catch (error) {
    if (!mayHaveNone || !isLandfallError(error) || error.code !== 'NOT_FOUND') throw error;
  }
  // Registries differ in their order, and in how they give it twice.
  return tags.sort();
}

function imagesOf(selection: Selection, tags: readonly string[]): WantedImage[] {
  const { platforms, rewriteIndex, referrers, to, at } = selection;
  const positions = new Map(selection.tags.list.map((one) => [one.tag, one.at]));
  const shared = { platforms, rewriteIndex, referrers, to };
  return [
    ...tags.map((tag) => ({ ...shared, from: tag, tag, at: positions.get(tag) ?? at })),
    ...selection.digests.map((digest) => ({ ...shared, from: digest, tag: undefined, at })),
  ];
}

function fullName(transport: TransportName, name: string): string {
  return transport.kind === 'registry' ? `${transport.host}/${name}` : name;
}

function shortName(transport: TransportName, full: string): string {
  return transport.kind === 'registry' ? full.slice(transport.host.length + 1) : full;
}

function nameless(repository: SourceRepository): LandfallError {
  return new LandfallError('INVALID_CONFIG', `the names in ${repository.location} are no references`, {
    hint: 'Copy its images one by one: landfall copy oci:DIR:NAME docker://HOST/REPOSITORY:TAG.',
  });
}

const CREATED = 'org.opencontainers.image.created';
/** Indexes within indexes that are followed. */
const MAX_DEPTH = 3;
/** Entries of an index without a platform that are looked into. */
const MAX_TRIED = 4;

type Readable = Pick<SourceRepository, 'fetch'>;

/**
 * When images were made: as the config says, else an annotation of the manifest. Of an index it is the first
 * image's, since all are built together. It costs one manifest, for an index two, and a config, and is read
 * once for each digest.
 */
export class CreatedDates {
  readonly #manifests: ManifestReader;
  readonly #dates = new ResultCache<Digest, number | undefined>();

  constructor(manifests: ManifestReader) {
    this.#manifests = manifests;
  }

  /**
   * In milliseconds since 1970; undefined where nothing says so. Errors: those of the place; INVALID_MANIFEST
   * and the like.
   */
  async of(repository: Readable, image: Descriptor, options: Abortable): Promise<number | undefined> {
    return await this.#dates.get(
      image.digest,
      (signal) => this.#read(repository, image, { signal }, 0),
      options,
    );
  }

  async #read(
    repository: Readable,
    image: Descriptor,
    options: Abortable,
    depth: number,
  ): Promise<number | undefined> {
    const manifest = await this.#manifests.manifest(repository, image, options);
    if (manifest.kind === 'manifest') {
      const { config, annotations } = manifest;
      const created = isConfigType(config.mediaType)
        ? parseImageConfig(await this.#manifests.bytes(repository, config, options)).created
        : undefined;
      return momentOf(created) ?? momentOf(annotations?.[CREATED]);
    }
    const stated = manifest.manifests.find(
      ({ platform }) => platform !== undefined && isRunnablePlatform(platform),
    );
    // Of those that say no platform the first may be no image, and has no date then.
    const tried = stated === undefined ? manifest.manifests.filter(isSilent).slice(0, MAX_TRIED) : [stated];
    for (const entry of depth === MAX_DEPTH ? [] : tried) {
      const inner = await this.#read(repository, entry, options, depth + 1);
      if (inner !== undefined) return inner;
    }
    return momentOf(manifest.annotations?.[CREATED]);
  }
}

function momentOf(text: string | undefined): number | undefined {
  const moment = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(moment) ? undefined : moment;
}
