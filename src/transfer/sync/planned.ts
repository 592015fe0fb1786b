import { type Abortable, isLandfallError, LandfallError } from '../../errors.js';
import { type Descriptor, type Digest, isDigest, parseReference, repositoryName } from '../../spec/index.js';
import type { CopyRequest } from '../copy/copy-request.js';
import { resolveSource } from '../copy/resolve-source.js';
import type { SourceRepository } from '../transports/destination.js';
import type {
  MirrorDestination,
  MirrorFile,
  MirrorSource,
  TransportName,
  Position,
  Selection,
} from './mirror-file.js';
import { type Fault, MirrorFileError } from './yaml-text.js';

/** One image of a source that is wanted, whatever the destinations are. */
export interface WantedImage extends CopyRequest {
  /** A template of the repository at the destination, where the file has one. */
  readonly to?: string | undefined;
  /** What of the file asks for it. */
  readonly at: Position;
}

/** What is to be done with one repository of a source. */
export class PlannedRepository {
  readonly source: MirrorSource;
  readonly repository: SourceRepository;
  readonly from: MappedFrom;
  readonly images: readonly WantedImage[];
  /** What is wanted of it and not there, as its archive declares: it was delivered before, or comes besides. */
  readonly elsewhere: readonly WantedImage[];
  /** Why its tags are not known, or not all. */
  readonly failure: unknown;
  readonly #resolved = new Map<string, Descriptor>();

  constructor(
    o: Pick<PlannedRepository, 'source' | 'repository' | 'images'> & {
      readonly failure?: unknown;
      readonly elsewhere?: readonly WantedImage[] | undefined;
      /** Tags that are resolved already. */
      readonly resolved?: ReadonlyMap<string, Descriptor>;
    },
  ) {
    this.source = o.source;
    this.repository = o.repository;
    this.from = mappedFrom(o.repository.name);
    this.images = o.images;
    this.elsewhere = o.elsewhere ?? [];
    this.failure = o.failure;
    for (const [tag, descriptor] of o.resolved ?? []) this.#resolved.set(tag, descriptor);
  }

  /**
   * What a tag or a digest of it stands for. The source is asked once in a run, however many destinations
   * there are and whatever the plan looked at: registries count such requests, and a tag that moves meanwhile
   * is the same image everywhere.
   *
   * Errors: NOT_FOUND or BLOB_NOT_FOUND; those of the place
   */
  async resolve(from: string, options: Abortable): Promise<Descriptor> {
    const known = this.#resolved.get(from);
    if (known !== undefined) return known;
    const found = await resolveSource(this.repository, from, options);
    this.#resolved.set(from, found);
    return found;
  }
}

/** What could not be found out about a source as a whole. */
export interface SourceFailure {
  readonly source: MirrorSource;
  /** `docker://quay.io`, or `docker://quay.io/team/*`. */
  readonly subject: string;
  readonly error: unknown;
}

/** All that the file asks for, as its sources are now. */
export interface MirrorPlan {
  readonly repositories: readonly PlannedRepository[];
  readonly failures: readonly SourceFailure[];
  /** Sources that lack images of their set and do not say which. */
  readonly partial: readonly MirrorSource[];
  /** What sources lack since it was delivered before, each with the repository that it was in there. */
  readonly delivered: ReadonlyMap<Digest, { readonly source: MirrorSource; readonly repository: string }>;
  readonly warnings: readonly string[];
}

const KEYS = ['registry', 'repository', 'name'] as const;

/** What of a destination's path is known beforehand. */
export interface PathRule {
  readonly transport: TransportName;
  readonly prefix: string;
  readonly path?: string | undefined;
}

/** A repository that is copied from. */
interface MappedFrom {
  /** `quay.io`; undefined where what is copied has no registry's name. */
  readonly registry: string | undefined;
  /** `team/app` */
  readonly repository: string;
}

function mappedFrom(name: string): MappedFrom {
  const slash = name.indexOf('/');
  return { registry: slash < 0 ? undefined : name.slice(0, slash), repository: name.slice(slash + 1) };
}

/** The fault of a template, in words; undefined where it can be used. */
export function templateFault(template: string): string | undefined {
  const unknown = [...template.matchAll(/\{([^{}]*)\}/g)]
    .map(([, key = '']) => key)
    .find((key) => !(KEYS as readonly string[]).includes(key));
  if (unknown !== undefined)
    return `there is no {${unknown}}; there are ${KEYS.map((key) => `{${key}}`).join(', ')}`;
  const rest = template.replace(/\{[^{}]*\}/g, 'x');
  if (/[{}]/.test(rest)) return 'a brace stands alone';
  try {
    const { tag, digest } = parseReference(`registry.example/${rest}`);
    return tag === undefined && digest === undefined ? undefined : 'it has a tag or a digest';
  } catch {
    return 'it makes no name of a repository';
  }
}

/**
 * The canonical name of the repository at a destination. A registry's is below its prefix, by default under
 * the name that it has at the source; everywhere else a repository keeps the name of its registry too.
 *
 * @param to what the source says of it; a template
 * @throws {LandfallError} INVALID_CONFIG where what comes out is no repository
 */
export function mapRepository(from: MappedFrom, to: string | undefined, rule: PathRule): string {
  const { transport, prefix } = rule;
  const isRegistry = transport.kind === 'registry';
  const template = to ?? rule.path ?? (isRegistry ? '{repository}' : '{registry}/{repository}');
  const filled = fill(
    template,
    isRegistry ? { ...from, registry: asComponent(from.registry) } : from,
  ).replace(/^\/+/, '');
  const path = prefix === '' ? filled : `${prefix}/${filled}`;
  const name = isRegistry ? `${transport.host}/${path}` : path;
  try {
    const reference = parseReference(name);
    if (reference.tag === undefined && reference.digest === undefined) return repositoryName(reference);
  } catch {
    // Told below, by the name that it would be.
  }
  throw new LandfallError('INVALID_CONFIG', `${name} is no name of a repository`, {
    hint: 'Change the path, the prefix, or say where it goes by `to`.',
  });
}

function fill(template: string, { registry = '', repository }: MappedFrom): string {
  const name = repository.slice(repository.lastIndexOf('/') + 1);
  const values: Readonly<Record<string, string>> = { registry, repository, name };
  return template.replace(/\{([^{}]*)\}/g, (_, key: string) => values[key] ?? '');
}

/** A host as a part of a path, where its port would be read as a tag: `127.0.0.1_5000`. */
function asComponent(registry: string | undefined): string | undefined {
  return registry
    ?.toLowerCase()
    .replace(/[^a-z0-9.-]+/g, '_')
    .replace(/^_|_$/g, '');
}

export interface MayGoToOptions {
  readonly source: MirrorSource;
  readonly plan: MirrorPlan;
  readonly destination: MirrorDestination;
}

/**
 * Whether images of a source may belong into a repository at a destination, as far as the file tells without
 * the source being asked. A pattern of repositories that nobody could list may mean any.
 */
export function mayGoTo(name: string, options: MayGoToOptions): boolean {
  return options.source.selections.some((selection) => {
    const repositories = repositoriesOf(selection, options);
    return repositories?.some((from) => goesTo(from, selection, options) === name) ?? true;
  });
}

/** Undefined where that could not be found out. */
function repositoriesOf({ name, matches }: Selection, o: MayGoToOptions): readonly MappedFrom[] | undefined {
  const { source, plan } = o;
  if (name !== undefined) {
    const isRegistry = source.transport.kind === 'registry';
    return [isRegistry ? { registry: source.transport.host, repository: name } : mappedFrom(name)];
  }
  const isPartial = plan.partial.includes(source);
  if (isPartial || plan.failures.some((failure) => failure.source === source)) return undefined;
  return plan.repositories
    .filter((planned) => planned.source === source && matches?.(shortName(source, planned)) === true)
    .map(({ from }) => from);
}

/** As patterns see it: without the place, which is no part of names only where it is a registry. */
function shortName({ transport }: MirrorSource, { from, repository }: PlannedRepository): string {
  return transport.kind === 'registry' ? from.repository : repository.name;
}

/** Undefined where it can go nowhere. */
function goesTo(from: MappedFrom, { to }: Selection, { destination }: MayGoToOptions): string | undefined {
  try {
    return mapRepository(from, to, destination);
  } catch (error) {
    if (isLandfallError(error)) return undefined;
    throw error;
  }
}

/** One image, with where it goes. */
export interface MappedImage {
  readonly planned: PlannedRepository;
  readonly image: WantedImage;
  /** The canonical name of the repository at the destination. */
  readonly to: string;
}

/**
 * Where everything goes at one destination.
 *
 * @throws {MirrorFileError} where two different images would have one name there, or one would have none:
 *   nothing is copied then, since what is there in the end would be a matter of luck
 */
export function mapImages(
  plan: MirrorPlan,
  destination: MirrorDestination,
  file: Pick<MirrorFile, 'name'>,
): MappedImage[] {
  const faults: Fault[] = [];
  const taken = new Map<string, MappedImage>();
  const mapped: MappedImage[] = [];
  for (const planned of plan.repositories) {
    for (const image of planned.images) {
      const one = map({ planned, image }, destination, faults);
      if (one === undefined) continue;
      const key = `${one.to} ${image.tag ?? image.from}`;
      const other = taken.get(key);
      if (other === undefined) {
        taken.set(key, one);
        mapped.push(one);
      } else if (!isSame(one, other)) {
        faults.push(collision(one, other));
      }
    }
  }
  if (faults.length > 0) throw new MirrorFileError(file.name, faults);
  return mapped;
}

/** The repositories at the destination that images of a source's repository go to, or went to before. */
export function targetsOf(planned: PlannedRepository, destination: MirrorDestination): ReadonlySet<string> {
  const targets = new Set<string>();
  for (const { to } of [...planned.images, ...planned.elsewhere])
    targets.add(mapRepository(planned.from, to, destination));
  return targets;
}

/** The images of a destination's set that archives which are read declare as elsewhere, by their names there. */
export function mapElsewhere(
  plan: MirrorPlan,
  destination: MirrorDestination,
): { readonly to: string; readonly image: WantedImage }[] {
  return plan.repositories.flatMap((planned) =>
    planned.elsewhere.map((image) => ({ image, to: mapRepository(planned.from, image.to, destination) })),
  );
}

/** Where a destination has what was delivered before, as far as it went by the same file. */
export function mapDelivered(plan: MirrorPlan, destination: MirrorDestination): ReadonlyMap<Digest, string> {
  const names = new Map<MirrorSource, Map<string, string>>();
  for (const planned of plan.repositories) {
    const [target] = targetsOf(planned, destination);
    const ofSource = names.get(planned.source) ?? new Map<string, string>();
    names.set(planned.source, ofSource);
    if (target !== undefined) ofSource.set(planned.repository.name, target);
  }
  return new Map(
    [...plan.delivered].flatMap(([digest, { source, repository }]): [Digest, string][] => {
      const name = names.get(source)?.get(repository);
      return name === undefined ? [] : [[digest, name]];
    }),
  );
}

/** What a destination calls an image: `mirror.lan/team/app:1`, `mirror.lan/team/app@sha256:…`. */
export function nameOfImage({ image, to }: Pick<MappedImage, 'image' | 'to'>): string {
  return `${to}${isDigest(image.from) && image.tag === undefined ? '@' : ':'}${image.tag ?? image.from}`;
}

function map(
  { planned, image }: { readonly planned: PlannedRepository; readonly image: WantedImage },
  destination: MirrorDestination,
  faults: Fault[],
): MappedImage | undefined {
  try {
    return { planned, image, to: mapRepository(planned.from, image.to, destination) };
  } catch (error) {
    if (!isLandfallError(error)) throw error;
    if (!faults.some(({ message, at }) => message === error.message && at === image.at))
      faults.push({ at: image.at, message: error.message, hint: error.hint });
    return undefined;
  }
}

/** Two sources may name one image; then it is copied once. */
function isSame(a: MappedImage, b: MappedImage): boolean {
  return a.planned.repository.location === b.planned.repository.location && a.image.from === b.image.from;
}

function collision(one: MappedImage, other: MappedImage): Fault {
  const name = ({ planned, image }: MappedImage): string => `${planned.repository.location}:${image.from}`;
  return {
    at: one.image.at,
    message: `${name(one)} and ${name(other)} would both be ${one.to}:${one.image.tag ?? one.image.from}`,
    hint: 'Keep them apart by `to`, or by a path with {registry} and {repository} in it.',
  };
}
