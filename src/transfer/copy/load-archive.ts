import { type NamedEntry, rawNamesOf } from '../../content/index.js';
import { subjectOfCosignTag } from '../../engine/trust/accompaniment.js';
import { isLandfallError, LandfallError } from '../../errors.js';
import { readManifest } from '../../engine/images/read-manifest.js';
import {
  type Descriptor,
  type Digest,
  formatReference,
  type ImageIndex,
  type ImageManifest,
  isIndexType,
  isManifestType,
  parseReference,
  type Reference,
  repositoryName,
} from '../../spec/index.js';
import { brokenArchive } from '../transports/archives/archive-file.js';
import { type Archive, transportOf } from '../transports/archives/archive.js';
import { isDelivered, needsBase } from '../transports/declaration.js';
import type { CopyReport } from './copy-report.js';
import type { PlatformChoice } from './copy-request.js';
import type { CopySession } from './copy-session.js';
import { copy, requireRoom } from './copy.js';
import { chooseTarget } from './select-platforms.js';
import type { DestinationTransport } from '../transports/destination.js';
import { LayoutTransport } from '../transports/layout-transport.js';

export interface ArchiveLoaderOptions {
  readonly archive: Archive;
  readonly destination: DestinationTransport;
  readonly session: CopySession;
  /** Where the archive lies, for a policy that is about places; absent for what comes from a stream. */
  readonly path?: string | undefined;
  /** What an image is called that has no name; see {@link planLoad}. */
  readonly name?: string | undefined;
  /** Default: those that the archive has. */
  readonly platforms?: PlatformChoice | undefined;
}

/** An image that was loaded. */
export interface LoadedFromArchive {
  readonly report: CopyReport;
  /** What of its index the archive does not have and does not declare as left out. */
  readonly missing: readonly Descriptor[];
  /** What it declares as left out, or was not asked for. */
  readonly leftOut: readonly Descriptor[];
}

/** Archives are loaded into stores, whose repositories share all blobs. */
const ANY_REPOSITORY = 'any.lan/repository';

/** Brings the images of an archive to a place, under the names that they have there. */
export class ArchiveLoader {
  readonly #options: ArchiveLoaderOptions;
  readonly #source: LayoutTransport;

  constructor(options: ArchiveLoaderOptions) {
    this.#options = options;
    const { archive, path } = options;
    const transport = transportOf(archive);
    this.#source = new LayoutTransport({
      content: archive,
      location: `${transport}:${archive.location}`,
      declaration: () => Promise.resolve(archive.declaration),
      file: { transport, path },
    });
  }

  /**
   * Errors: those of the archive's index; INVALID_CONFIG; BLOB_NOT_FOUND for a delta of which nothing that
   * was delivered before is at the destination.
   */
  async plan(): Promise<LoadPlan> {
    const { archive, session, name } = this.#options;
    await this.#requireBase();
    const entries = await this.#source.entries({ signal: session.signal });
    const parts = new Set<Digest>();
    const referrers = new Set<Digest>();
    for (const { target, reference } of entries) {
      const tags = reference === undefined ? rawNamesOf(target) : [];
      for (const subject of tags.map(subjectOfCosignTag)) {
        if (subject !== undefined && (await archive.info(subject)) !== undefined)
          referrers.add(target.digest);
      }
      const manifest = await this.#manifest(target);
      if (await this.#isInArchive(manifest?.subject)) referrers.add(target.digest);
      if (manifest?.kind === 'index') for (const { digest } of manifest.manifests) parts.add(digest);
    }
    // Some programs list the manifests of an index beside it. They come along with it, as referrers do.
    const isPart = ({ reference, target: { digest } }: NamedEntry): boolean =>
      reference === undefined && (parts.has(digest) || referrers.has(digest));
    return planLoad(
      entries.filter((entry) => !isPart(entry)),
      name,
    );
  }

  /**
   * Refuses images for which the destination has no room, once for all.
   *
   * @param o `unpack`: whether those for this machine are unpacked too
   */
  async requireRoom(
    images: readonly PlannedImage[],
    { unpack }: { readonly unpack: boolean },
  ): Promise<void> {
    const { destination, session } = this.#options;
    const layers = unpack ? await Promise.all(images.map((image) => this.#unpackedOf(image))) : [];
    const looks = images.map((image) => (looking: CopySession) => this.#copy(image, looking));
    await requireRoom(destination, session, looks, layers.flat());
  }

  /**
   * One image, with what refers to it. Under a policy it is held against that by the name that it gets.
   * Errors: as `copy`; BAD_ARCHIVE where something is not in the archive that it needs.
   */
  async load(image: PlannedImage): Promise<LoadedFromArchive> {
    const { archive, session, platforms = 'present' } = this.#options;
    const { target } = image;
    try {
      const report = await this.#copy(image, session);
      const declared = new Set(archive.declaration.omitted.map((omitted) => omitted.digest));
      const isMissing = (one: Descriptor): boolean => platforms === 'present' && !declared.has(one.digest);
      return {
        report,
        missing: report.omitted.filter(isMissing),
        leftOut: report.omitted.filter((one) => !isMissing(one)),
      };
    } catch (error) {
      throw this.#isAbsentHere(error) ? brokenArchive(archive.location, lackOf(error, target)) : error;
    }
  }

  async #copy({ reference, from }: PlannedImage, session: CopySession): Promise<CopyReport> {
    const { destination, platforms = 'present' } = this.#options;
    const { tag, digest } = reference;
    return await copy(
      this.#source.repository(''),
      destination.repository(repositoryName(reference)),
      {
        from,
        tag: digest === undefined ? (tag ?? 'latest') : undefined,
        platforms,
        referrers: {},
        calledAs: reference,
      },
      session,
    );
  }

  /** The layers of what is unpacked of an image; none where that cannot be told. */
  async #unpackedOf({ from, target }: PlannedImage): Promise<readonly Descriptor[]> {
    const { session } = this.#options;
    const source = this.#source.repository('');
    try {
      const chosen = await chooseTarget(source, target, { from, platforms: 'one' }, session);
      const manifest = await session.manifests.manifest(source, chosen, session);
      return manifest.kind === 'manifest' ? manifest.layers : [];
    } catch {
      return [];
    }
  }

  /** Once for all images, of which each would fail by itself. */
  async #requireBase(): Promise<void> {
    const { archive, destination } = this.#options;
    const delivered = archive.declaration.omitted.filter(isDelivered);
    const [first] = delivered;
    if (first === undefined) return;
    const anywhere = destination.repository(ANY_REPOSITORY);
    for (const descriptor of delivered) if (await anywhere.has(descriptor)) return;
    throw needsBase(archive.location, archive.declaration, first.digest);
  }

  /** Undefined for what is none, or is not there. */
  async #manifest(target: Descriptor): Promise<ImageManifest | ImageIndex | undefined> {
    const { archive } = this.#options;
    if (!isManifestType(target.mediaType) && !isIndexType(target.mediaType)) return undefined;
    if ((await archive.info(target.digest)) === undefined) return undefined;
    return await readManifest(archive, target);
  }

  async #isInArchive(descriptor: Descriptor | undefined): Promise<boolean> {
    if (descriptor === undefined) return false;
    return (await this.#options.archive.info(descriptor.digest)) !== undefined;
  }

  #isAbsentHere(error: unknown): boolean {
    return (
      isLandfallError(error) &&
      error.code === 'BLOB_NOT_FOUND' &&
      error.details['path'] === this.#options.archive.location &&
      error.details['base'] === undefined
    );
  }
}

function lackOf(error: unknown, { digest }: Descriptor): string {
  const lacked = isLandfallError(error) ? error.details['digest'] : undefined;
  const what = typeof lacked === 'string' ? lacked : 'something';
  return lacked === digest ? `it lacks the image ${digest}` : `it lacks ${what}, which is part of ${digest}`;
}

/** An image of an archive, and what it is to be called. */
export interface PlannedImage {
  readonly reference: Reference;
  readonly target: Descriptor;
  /** What the archive calls it; its digest where that is nothing. */
  readonly from: string;
}

interface LoadPlan {
  readonly images: readonly PlannedImage[];
  /** What has no name, and refers to nothing that it would be found by. */
  readonly nameless: readonly Descriptor[];
}

/**
 * What the images of an archive are called where they go. Of two with one name the first counts.
 *
 * @param entries without what refers to something: that comes along with it
 * @param name for those that have none: of one image its name; without a tag also the repository that plain
 *   words are tags of
 * @throws {LandfallError} INVALID_CONFIG where a name is given for several
 */
export function planLoad(entries: readonly NamedEntry[], name: string | undefined): LoadPlan {
  const given = name === undefined ? undefined : parseReference(name);
  if (given?.digest !== undefined) {
    throw new LandfallError('INVALID_CONFIG', 'a digest is no name that could be given', {
      hint: 'Leave it out of --name.',
    });
  }
  const nameless = entries.filter(({ reference }) => reference === undefined);
  const isOnly = new Set(nameless.map(({ target }) => target.digest)).size === 1;
  const images = new Map<string, PlannedImage>();
  const left: Descriptor[] = [];
  for (const { reference, target } of entries) {
    const chosen = reference ?? (given === undefined ? undefined : nameFor(target, given, isOnly));
    if (chosen === undefined) {
      left.push(target);
      continue;
    }
    const canonical = formatReference(chosen);
    if (!images.has(canonical)) {
      images.set(canonical, { reference: chosen, target, from: rawNamesOf(target)[0] ?? target.digest });
    }
  }
  if (given !== undefined && left.length > 0) {
    throw new LandfallError('INVALID_CONFIG', `${left.length} images of the archive have no name`, {
      hint: 'Copy them one by one: landfall copy oci-archive:FILE:DIGEST NAME.',
      details: { digests: left.map(({ digest }) => digest) },
    });
  }
  return { images: [...images.values()], nameless: left };
}

/** Undefined for one of several that have no word of their own. */
function nameFor(target: Descriptor, given: Reference, isOnly: boolean): Reference | undefined {
  const [word] = rawNamesOf(target);
  const repository = repositoryName(given);
  if (isOnly) return parseReference(`${repository}:${given.tag ?? word ?? 'latest'}`);
  return word === undefined || given.tag !== undefined ? undefined : parseReference(`${repository}:${word}`);
}
