import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { PulledSignature } from '../../engine/trust/signature-sources.js';
import { LandfallError, SpecError, systemCode } from '../../errors.js';
import {
  type Descriptor,
  type Digest,
  parseDigest,
  parseJson,
  parseReference,
  repositoryName,
} from '../../spec/index.js';
import type { EarlierDelivery } from '../transports/declaration.js';
import type { ContentOutcome, CopyEvent, CopyReport } from '../copy/copy-report.js';

/** `unchanged`: an earlier report says that the far side has it. */
export type SyncOutcome = 'copied' | 'exists' | 'planned' | 'unchanged' | 'failed';

/** One manifest or blob of an image, its referrers' among them. */
export interface SyncedContent {
  /** Of it. */
  readonly digest: Digest;
  /** What it is. */
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
  /** What became of it. `known`: an earlier report says that the far side has it. */
  readonly outcome: ContentOutcome | 'known';
}

/** What became of one image at one destination. */
export interface SyncedImage {
  /** `docker://quay.io/team/app:1` */
  readonly source: string;
  /** Where it is to be. */
  readonly destination: string;
  /** What the destination calls it: `mirror.lan/team/app:1`, `mirror.lan/team/app@sha256:…`. */
  readonly name: string;
  /** What the destination has; absent where that is not known. */
  readonly target?: Descriptor | undefined;
  /** What became of it. */
  readonly outcome: SyncOutcome;
  /** Bytes that were moved, or in a run that only looks, would be. */
  readonly bytes: number;
  /** All that was looked at. */
  readonly contents: readonly SyncedContent[];
  /** What of its index was left out on purpose. */
  readonly omitted: readonly Digest[];
  /** What refers to it and came along. */
  readonly referrers: readonly {
    /** Of the manifest. */
    readonly digest: Digest;
    /** Of the manifest. */
    readonly mediaType: string;
  }[];
  /** Whether what refers to it was not asked for. */
  readonly referrersLeftOut?: boolean | undefined;
  /** By whom it is signed; absent where no policy asks for signatures of it. */
  readonly signatures?: readonly PulledSignature[] | undefined;
  /** Why it failed. */
  readonly error?: unknown;
}

/** What became of one tag that the file asks for no more. */
export interface PrunedTag {
  /** `docker://mirror.lan/team/app:old` */
  readonly destination: string;
  /** What it named. */
  readonly digest: Digest | undefined;
  /** `kept`: the place could only delete it together with something that is to stay. */
  readonly outcome: 'planned' | 'deleted' | 'kept' | 'failed';
  /** Why it failed. */
  readonly error?: unknown;
}

/** A repository at a destination in which nothing was deleted, and why. */
export interface UnprunedRepository {
  /** `docker://mirror.lan/team/app` */
  readonly destination: string;
  /** In words. */
  readonly reason: string;
}

/** What failed beside single images. */
export interface SyncFailure {
  /** `docker://quay.io/team/app`, `oci-archive:/media/images.tar` */
  readonly subject: string;
  /** Why. */
  readonly error: unknown;
}

/** What became of all that a mirror file asks for. */
export interface SyncResult {
  /** Each at each destination. */
  readonly images: readonly SyncedImage[];
  /** Tags that the file asks for no more. */
  readonly pruned: readonly PrunedTag[];
  /** Where nothing was deleted. */
  readonly unpruned: readonly UnprunedRepository[];
  /**
   * What failed beside single images: a source or repository that could not be listed, a destination that
   * could not be written.
   */
  readonly failures: readonly SyncFailure[];
  /** Destinations that have got something: `oci-archive:/media/delta.tar`. */
  readonly written: readonly string[];
  /** What was delivered before, of a run that left that out. */
  readonly base: readonly EarlierDelivery[];
}

/**
 * An image's copy as the result tells of it.
 *
 * @param without what the far side had before, and so was left out
 */
export function syncedImage(
  names: Pick<SyncedImage, 'source' | 'destination' | 'name'>,
  report: CopyReport,
  without: ReadonlyMap<Digest, unknown>,
): SyncedImage {
  const reports = [report, ...reportsBelow(report)];
  const contents = contentsOf(reports, without);
  const moved = report.outcome === 'planned' ? 'planned' : 'copied';
  return {
    ...names,
    target: report.target,
    outcome: report.outcome,
    bytes: contents.reduce((sum, { outcome, size }) => sum + (outcome === moved ? size : 0), 0),
    contents,
    omitted: report.omitted.map(({ digest }) => digest).filter((digest) => !without.has(digest)),
    referrers: reportsBelow(report).map(({ target: { digest, mediaType } }) => ({ digest, mediaType })),
    referrersLeftOut: report.referrersLeftOut,
    signatures: report.signatures,
  };
}

/** Each once: what several platforms share counts where it was moved. */
function contentsOf(reports: readonly CopyReport[], without: ReadonlyMap<Digest, unknown>): SyncedContent[] {
  const contents = new Map<Digest, SyncedContent>();
  for (const { contents: looked, omitted } of reports) {
    for (const { descriptor, outcome } of looked) {
      const { digest, mediaType, size } = descriptor;
      const known = contents.get(digest);
      if (known === undefined || known.outcome === 'exists')
        contents.set(digest, { digest, mediaType, size, outcome });
    }
    for (const { digest, mediaType, size } of omitted) {
      if (without.has(digest) && !contents.has(digest))
        contents.set(digest, { digest, mediaType, size, outcome: 'left-out' });
    }
  }
  return [...contents.values()];
}

function reportsBelow(report: CopyReport): CopyReport[] {
  return report.referrers.flatMap((below) => [below, ...reportsBelow(below)]);
}

/** It is known what a destination is to have; told before anything moves there. */
export interface SyncPlanned {
  readonly type: 'planned';
  /** `docker://mirror.lan`, `oci:/srv/layout` */
  readonly destination: string;
  /** How many. */
  readonly images: number;
  /** How many of the destination's they go to. */
  readonly repositories: number;
}

/** An image has ended, well or not. */
export interface SyncImageEnded {
  readonly type: 'synced';
  /** What became of it. */
  readonly image: SyncedImage;
  /** Of all images of this destination, this one counted. */
  readonly done: number;
  /** Images of this destination. */
  readonly total: number;
}

/** A tag was deleted, or not, that the file asks for no more. */
export interface SyncTagPruned {
  readonly type: 'pruned';
  /** What became of it. */
  readonly tag: PrunedTag;
}

/** What a sync tells on its way: besides that of the single copies how far the whole is. */
export type SyncEvent = CopyEvent | SyncPlanned | SyncImageEnded | SyncTagPruned;

/** A report of a hundred thousand images with a hundred blobs each. */
const MAX_BYTES = 2 * 1024 ** 3 - 1;

interface EarlierImage {
  readonly digest: Digest;
  readonly contents: readonly SyncedContent[];
}

/** What the reports of earlier runs say that their destinations have. */
export class EarlierReport {
  /** Whether it is of a run that only looked, so that nobody has anything by it. */
  readonly dryRun: boolean;
  /** The deliveries that they tell of, in their order. */
  readonly base: readonly EarlierDelivery[];
  readonly #images: ReadonlyMap<string, EarlierImage>;

  constructor(
    images: ReadonlyMap<string, EarlierImage>,
    {
      dryRun = false,
      base = [],
    }: { readonly dryRun?: boolean; readonly base?: readonly EarlierDelivery[] } = {},
  ) {
    this.#images = images;
    this.dryRun = dryRun;
    this.base = base;
  }

  /** What several say together; of an image that more than one has, the last counts. */
  static of(reports: readonly EarlierReport[]): EarlierReport {
    const base = new Map(
      reports.flatMap((one) => one.base).map((each) => [`${each.name} ${each.written}`, each]),
    );
    return new EarlierReport(new Map(reports.flatMap((one) => [...one.#images])), {
      base: [...base.values()],
    });
  }

  /** All that the far side has, each with a repository that has it: `docker.io/library/alpine`. */
  get digests(): ReadonlyMap<Digest, string> {
    const digests = new Map<Digest, string>();
    for (const [name, { digest, contents }] of this.#images) {
      const repository = repositoryName(parseReference(name));
      for (const one of [digest, ...contents.map((content) => content.digest)]) digests.set(one, repository);
    }
    return digests;
  }

  /** Whether it had an image under that name. */
  has(name: string, digest: Digest): boolean {
    return this.#images.get(name)?.digest === digest;
  }

  /** What an image consists of; nothing where it is not told. */
  contentsOf(name: string, digest: Digest): readonly SyncedContent[] {
    const image = this.#images.get(name);
    return image?.digest === digest ? image.contents : [];
  }

  /** An image with what this report adds to what it is known to consist of. */
  complete(image: SyncedImage): SyncedImage {
    if (image.target === undefined || image.outcome === 'failed') return image;
    const known = new Set(image.contents.map(({ digest }) => digest));
    const added = this.contentsOf(image.name, image.target.digest).filter(({ digest }) => !known.has(digest));
    return added.length === 0 ? image : { ...image, contents: [...image.contents, ...added] };
  }
}

/**
 * Reads what `--report` wrote; undefined where there is no such file.
 *
 * @throws {LandfallError} INVALID_CONFIG where it cannot be read, or is something else; {SpecError}
 *   INVALID_DIGEST
 */
export async function readEarlierReport(file: string): Promise<EarlierReport | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw invalid(file, `cannot be read (${systemCode(cause) ?? 'unknown error'})`, cause);
  }
  const raw = parse(bytes, file);
  if (!isObject(raw) || !Array.isArray(raw['images'])) throw invalid(file, 'is not the report of a sync');
  const images = new Map<string, EarlierImage>();
  for (const image of raw['images'] as readonly unknown[]) {
    const read = readImage(image, file);
    if (read !== undefined) images.set(read.name, read.image);
  }
  return new EarlierReport(images, { dryRun: raw['dryRun'] === true, base: deliveriesOf(raw, file) });
}

/** What the run wrote, after what it was made against. */
function deliveriesOf(raw: Readonly<Record<string, unknown>>, file: string): EarlierDelivery[] {
  const list = (key: string): readonly unknown[] => (Array.isArray(raw[key]) ? (raw[key] as unknown[]) : []);
  const before = list('base').flatMap((each) => {
    if (!isObject(each) || typeof each['name'] !== 'string' || typeof each['written'] !== 'string') return [];
    return { name: each['name'], written: each['written'] };
  });
  const written = typeof raw['finishedAt'] === 'string' ? raw['finishedAt'] : '';
  const names = list('written').flatMap((name) => (typeof name === 'string' ? deliveryName(name) : []));
  // A report of an older program does not say what was written.
  const own = raw['written'] === undefined ? [basename(file)] : names;
  return [...before, ...own.map((name) => ({ name, written }))];
}

/** A file by its name alone, since it lies elsewhere on the far side. */
function deliveryName(transport: string): string {
  const [, path] = /^oci(?:-archive)?:(.*)$/s.exec(transport) ?? [];
  return path === undefined ? transport : basename(path);
}

function parse(bytes: Buffer, file: string): unknown {
  try {
    return parseJson(bytes, 'report', MAX_BYTES);
  } catch (cause) {
    if (cause instanceof SpecError) throw invalid(file, 'is not JSON', cause);
    throw cause;
  }
}

/** Undefined for one that failed. */
function readImage(raw: unknown, file: string): { name: string; image: EarlierImage } | undefined {
  if (!isObject(raw) || typeof raw['name'] !== 'string') throw invalid(file, 'has an image without a name');
  const { name, outcome, digest, contents } = raw;
  if (outcome === 'failed' || typeof digest !== 'string') return undefined;
  const listed = Array.isArray(contents) ? (contents as readonly unknown[]) : [];
  return {
    name,
    image: { digest: parseDigest(digest), contents: listed.map((one) => readContent(one, file)) },
  };
}

function readContent(raw: unknown, file: string): SyncedContent {
  if (!isObject(raw) || typeof raw['digest'] !== 'string')
    throw invalid(file, 'has content without a digest');
  const { digest, mediaType, size } = raw;
  return {
    digest: parseDigest(digest),
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    size: typeof size === 'number' ? size : 0,
    outcome: 'known',
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(file: string, fault: string, cause?: unknown): LandfallError {
  return new LandfallError('INVALID_CONFIG', `${file} ${fault}`, {
    cause,
    hint: 'Give the file that `landfall sync --report` wrote.',
    details: { path: file },
  });
}
