import { accompanies } from '../../engine/trust/accompaniment.js';
import type { Admission, AdmitImageOptions } from '../../engine/trust/admit-image.js';
import type { ManifestPath, ManifestPaths } from '../../engine/trust/manifest-paths.js';
import { type PulledSignature, signaturesOf } from '../../engine/trust/signature-sources.js';
import { isLandfallError, SpecError, throwIfAborted, TrustError } from '../../errors.js';
import { type Descriptor, type Digest, isIndexType, LIMITS, parseManifest } from '../../spec/index.js';
import type { PolicyImage, SignatureRuling, SignatureSource } from '../../trust/index.js';
import type { ReadManifestBytes } from '../../engine/images/read-manifest.js';
import { chosenPath, selectEntries } from './select-platforms.js';
import type { CopyRequest, PlatformChoice } from './copy-request.js';
import type { CopySession } from './copy-session.js';
import type { DestinationRepository, GovernedImage, SourceRepository } from '../transports/destination.js';

export interface CopyAdmissionOptions {
  readonly source: SourceRepository;
  readonly destination: DestinationRepository;
  readonly request: CopyRequest;
  readonly session: CopySession;
}

/** What of an image was verified. */
export interface Admitted {
  /**
   * Of all that may be copied: what the source's name stands for, and what that lists. Undefined where
   * nothing is asked of the image.
   */
  readonly digests: ReadonlySet<Digest> | undefined;
  /** What the destination has under the name that the image is to have, as far as that was looked at. */
  readonly stored: { readonly descriptor: Descriptor | undefined } | undefined;
}

/**
 * Lets a copy go on once its image was found to have what a policy asks for. Until then nothing is asked of
 * the source but manifests, signatures, and configs where only these say for which platform a manifest is;
 * and nothing is put.
 */
export class CopyAdmission {
  readonly #options: CopyAdmissionOptions;
  readonly #governed: GovernedImage;
  readonly #ruling: SignatureRuling;
  #admission: Admission | undefined;

  private constructor(options: CopyAdmissionOptions, governed: GovernedImage, ruling: SignatureRuling) {
    this.#options = options;
    this.#governed = governed;
    this.#ruling = ruling;
  }

  /**
   * Undefined where nothing is asked for. Errors: those of `PolicyFile.rulingFor`, and of the source's place.
   */
  static async of(options: CopyAdmissionOptions): Promise<CopyAdmission | undefined> {
    const { source, request, session } = options;
    const { policy, signal } = session;
    if (policy === undefined) return undefined;
    const governed = await source.governed(request.from, { calledAs: request.calledAs, signal });
    const ruling = await policy.rulingFor(governed.image);
    return ruling === undefined ? undefined : new CopyAdmission(options, governed, ruling);
  }

  /** By whom the image is signed, as far as that was asked. */
  get signatures(): readonly PulledSignature[] | undefined {
    return this.#admission === undefined ? undefined : signaturesOf(this.#admission);
  }

  /**
   * Has the image verified, and remembered and its signatures kept where one side is a store.
   *
   * @param resolved what the source's name stands for
   * @param target what is to be at the destination of it
   */
  async admit(resolved: Descriptor, target: Descriptor): Promise<Admitted> {
    const { destination, session } = this.#options;
    const stored = await this.#stored(target);
    // Registries count what is read of the source, and a destination that has the image mostly has its
    // signatures too.
    const isThere = stored?.descriptor?.digest === target.digest;
    const read = this.#reader(isThere || destination.memory !== undefined);
    if (await this.#isAccompaniment(resolved, read)) return { digests: undefined, stored };
    const digests = new Set<Digest>();
    const paths = this.#paths(resolved);
    const admission = await this.#verified({
      ruling: this.#ruling,
      image: this.#governed.image,
      target: resolved,
      paths: async (...of) => {
        const found = await paths(...of);
        for (const { digest } of found.flat()) digests.add(digest);
        return found;
      },
      read,
      sources: [...(isThere ? signaturesAt(destination) : []), ...this.#sources()],
      store: this.#memory?.store,
      signal: session.signal,
    });
    this.#admission = admission;
    await this.#record(admission);
    return { digests, stored };
  }

  /**
   * Whether what refers to the image may come along: an image that does so is none the less an image. Errors:
   * those of reading it.
   */
  async letsAlong(descriptor: Descriptor, tag: string | undefined): Promise<boolean> {
    return await accompanies(descriptor, tag, this.#reader(false));
  }

  /** By the name that it has, and by the one that it is to have. */
  async #isAccompaniment(resolved: Descriptor, read: ReadManifestBytes): Promise<boolean> {
    const { tag = this.#governed.tag } = this.#options.request;
    for (const name of new Set([this.#governed.tag, tag])) {
      if (!(await accompanies(resolved, name, read))) return false;
    }
    return true;
  }

  /**
   * Undefined where nothing is asked: a store tells by what it remembers, and of an archive nothing can be
   * read.
   */
  async #stored({ digest }: Descriptor): Promise<Admitted['stored']> {
    const { destination, request, session } = this.#options;
    const { signal } = session;
    if (destination.memory !== undefined || destination.readBack === undefined) return undefined;
    return { descriptor: await destination.stored(request.tag ?? digest, { signal }) };
  }

  #paths(resolved: Descriptor): ManifestPaths {
    const { source, request, session } = this.#options;
    const { platforms: choice } = request;
    if (choice === 'one') return async () => [await chosenPath(source, resolved, session)];
    const { signal } = session;
    return chosenPaths({
      choice,
      has: async ({ digest }) => (await source.resolve(digest, { signal })) !== undefined,
    });
  }

  #reader(mayBeThere: boolean): ReadManifestBytes {
    const { source, destination, session } = this.#options;
    const { manifests, signal } = session;
    const { readBack } = destination;
    return async (descriptor) => {
      if (mayBeThere && readBack !== undefined) {
        try {
          return await manifests.bytes(readBack, descriptor, { signal });
        } catch (error) {
          throwIfAborted(signal);
          // It may have nothing of it, or parts of an index only.
          if (!isLandfallError(error)) throw error;
        }
      }
      return await manifests.bytes(source, descriptor, { signal });
    };
  }

  /** A listing that was made anyway saves questions that have no answer. */
  #sources(): readonly SignatureSource[] {
    const { source, session } = this.#options;
    if (source.registry === undefined) return this.#governed.signatures;
    return this.#governed.signatures.map((signatures) => ({
      location: signatures.location,
      resolve: async (tag, o) => {
        const tags = await session.knownTagsOf(source);
        return tags?.has(tag) === false ? undefined : await signatures.resolve(tag, o);
      },
      referrers: (subject, o) => signatures.referrers(subject, o),
      fetch: (descriptor, o) => signatures.fetch(descriptor, o),
    }));
  }

  async #verified(options: AdmitImageOptions): Promise<Admission> {
    const { admitImage } = await import('../../engine/trust/admit-image.js');
    try {
      return await admitImage(options);
    } catch (error) {
      throw explainUnsigned(error, this.#governed.image);
    }
  }

  get #memory(): GovernedImage['memory'] {
    return this.#options.destination.memory ?? this.#governed.memory;
  }

  async #record(admission: Admission): Promise<void> {
    const memory = this.#memory;
    const { source, session } = this.#options;
    const { signal } = session;
    if (memory === undefined || session.dryRun) return;
    const { recordAdmission } = await import('../../engine/trust/admit-image.js');
    const from = source.registry === undefined ? {} : { source: source.name };
    await recordAdmission(memory.store, admission, { lease: await memory.lease(), ...from, signal });
  }
}

/** What lies beside an image that the destination has already. */
function signaturesAt(destination: DestinationRepository): readonly SignatureSource[] {
  const { location, readBack } = destination;
  if (readBack === undefined) return [];
  return [
    {
      location,
      resolve: (tag, o) => destination.stored(tag, o),
      referrers: (subject, o) => readBack.referrers(subject, o),
      fetch: (descriptor, o) => readBack.fetch(descriptor, o),
    },
  ];
}

export interface ChosenPathsOptions {
  readonly choice: Exclude<PlatformChoice, 'one'>;
  /** Whether the source has what an entry names; asked for `present` only. */
  readonly has: (entry: Descriptor) => Promise<boolean>;
}

/**
 * What leads to each manifest of an image that a copy takes, by the same choice. An index of which nothing is
 * taken is itself all that is, and its own path.
 *
 * Errors: NO_MATCHING_PLATFORM, LIMIT_EXCEEDED, and those of reading
 */
export function chosenPaths({ choice, has }: ChosenPathsOptions): ManifestPaths {
  return async (target, read) => {
    const paths: ManifestPath[] = [];
    const seen = new Set<Digest>();
    const walk = async (path: readonly Descriptor[], at: Descriptor): Promise<void> => {
      if (seen.has(at.digest)) return;
      seen.add(at.digest);
      const reached = [...path, at];
      const kept = isIndexType(at.mediaType) ? await keptOf(at, path.length, { choice, has, read }) : [];
      if (kept.length === 0) paths.push(reached);
      for (const child of kept) await walk(reached, child);
    };
    await walk([], target);
    return paths;
  };
}

async function keptOf(
  descriptor: Descriptor,
  depth: number,
  { choice, has, read }: ChosenPathsOptions & { readonly read: ReadManifestBytes },
): Promise<readonly Descriptor[]> {
  if (depth > LIMITS.indexDepth) {
    throw new SpecError('LIMIT_EXCEEDED', `indexes are nested more than ${LIMITS.indexDepth} deep`);
  }
  const index = parseManifest(await read(descriptor), descriptor.mediaType);
  if (index.kind !== 'index') return [];
  return (await selectEntries(descriptor, index, { choice, has, read, depth })).kept;
}

/**
 * Says why nothing in an archive of Docker has a signature, where that is what is amiss; else gives the error
 * as it is.
 */
export function explainUnsigned(error: unknown, { transport, name }: PolicyImage): unknown {
  if (transport !== 'docker-archive') return error;
  if (!(error instanceof TrustError) || error.code !== 'SIGNATURE_MISSING') return error;
  const message = `${name} cannot be signed: an archive of Docker has no manifests, and a signature is for a manifest`;
  return new TrustError('SIGNATURE_MISSING', message, {
    cause: error,
    details: error.details,
    hint: 'Have it written as an OCI archive with its signatures, as landfall save --referrers does.',
  });
}
