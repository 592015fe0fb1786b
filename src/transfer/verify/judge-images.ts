import { mapLimited } from '../../concurrency/index.js';
import { accompanies } from '../../engine/trust/accompaniment.js';
import { type PulledSignature, signaturesOf } from '../../engine/trust/signature-sources.js';
import { type Abortable, isLandfallError, throwIfAborted } from '../../errors.js';
import { type Descriptor, type Digest, isIndexType } from '../../spec/index.js';
import type { PolicyFile, SignatureRuling } from '../../trust/index.js';
import { chosenPaths, explainUnsigned } from '../copy/copy-admission.js';
import type { ReadManifestBytes } from '../../engine/images/read-manifest.js';
import type { GovernedImage, SourceRepository } from '../transports/destination.js';
import { ManifestReader } from '../transports/manifest-reader.js';
import type { VerifyRoot } from './verify.js';

/** An image that a signature policy is to judge. */
export interface JudgedImage {
  readonly target: Descriptor;
  readonly repository: SourceRepository;
  /** What the policy is to know of it. Errors: those of its place. */
  readonly governed: () => Promise<GovernedImage>;
  /** Whether its place has what an index lists; default: what the repository can resolve. */
  readonly has?: ((entry: Descriptor) => Promise<boolean>) | undefined;
}

/** An image of a place that is proven whole, and judged. */
export type JudgedRoot = VerifyRoot & JudgedImage;

/**
 * - `accepted`: nothing is asked of it;
 * - `accompanies`: it is a signature, or something else that refers to an image, and needs none itself;
 * - `part`: it has no name, and is of an index that is judged with all its parts;
 * - `refused`: it lacks what the policy asks for, or nobody can tell.
 */
export type PolicyVerdict =
  | { readonly outcome: 'accepted' | 'accompanies' | 'part' }
  | { readonly outcome: 'signed'; readonly signatures: readonly PulledSignature[] }
  | { readonly outcome: 'refused'; readonly error: unknown };

/** Judged at once. */
const CONCURRENCY = 8;

/**
 * Holds images against a signature policy, where they are: all manifests of each that are there. What becomes
 * of them stands in their order; nothing is changed, and nothing is taken from what was remembered.
 *
 * Errors: ABORTED
 */
export async function judgeImages(
  images: readonly JudgedImage[],
  policy: PolicyFile,
  options: Abortable = {},
): Promise<readonly PolicyVerdict[]> {
  const judge = new Judge(policy, options);
  const asked = await Promise.all(images.map((image) => judge.ask(image)));
  // Some programs list the parts of an index beside it, without a name; one index may be a part of another.
  const inTurn = [
    asked.filter(({ isNameless }) => !isNameless),
    ...asked.filter(({ isNameless, isIndex }) => isNameless && isIndex).map((index) => [index]),
    asked.filter(({ isNameless, isIndex }) => isNameless && !isIndex),
  ];
  const verdicts = new Map<AskedImage, PolicyVerdict>();
  for (const some of inTurn) {
    await mapLimited(some, CONCURRENCY, async (one) => verdicts.set(one, await judge.verdict(one)));
  }
  throwIfAborted(options.signal);
  return asked.flatMap((one) => verdicts.get(one) ?? []);
}

/** An image, and what is known of it before it is judged. */
interface AskedImage {
  readonly image: JudgedImage;
  readonly governed: GovernedImage | { readonly error: unknown };
  readonly isNameless: boolean;
  readonly isIndex: boolean;
}

class Judge {
  readonly #policy: PolicyFile;
  readonly #signal: AbortSignal | undefined;
  readonly #manifests = new ManifestReader();
  /** What was judged as a part of something. */
  readonly #parts = new Set<Digest>();

  constructor(policy: PolicyFile, { signal }: Abortable) {
    this.#policy = policy;
    this.#signal = signal;
  }

  async ask(image: JudgedImage): Promise<AskedImage> {
    const isIndex = isIndexType(image.target.mediaType);
    try {
      const governed = await image.governed();
      const isNameless = governed.tag === undefined && governed.image.reference === undefined;
      return { image, governed, isNameless, isIndex };
    } catch (error) {
      throwIfAborted(this.#signal);
      if (!isLandfallError(error)) throw error;
      return { image, governed: { error }, isNameless: false, isIndex };
    }
  }

  async verdict({ image, governed, isNameless }: AskedImage): Promise<PolicyVerdict> {
    if ('error' in governed) return { outcome: 'refused', error: governed.error };
    try {
      const ruling = await this.#policy.rulingFor(governed.image);
      if (ruling === undefined) return { outcome: 'accepted' };
      if (isNameless && this.#parts.has(image.target.digest)) return { outcome: 'part' };
      const read = this.#reader(image);
      if (await accompanies(image.target, governed.tag, read)) return { outcome: 'accompanies' };
      return { outcome: 'signed', signatures: await this.#signatures(image, { governed, ruling, read }) };
    } catch (error) {
      throwIfAborted(this.#signal);
      if (!isLandfallError(error)) throw error;
      return { outcome: 'refused', error: explainUnsigned(error, governed.image) };
    }
  }

  async #signatures(
    { target, repository, has }: JudgedImage,
    o: {
      readonly governed: GovernedImage;
      readonly ruling: SignatureRuling;
      readonly read: ReadManifestBytes;
    },
  ): Promise<readonly PulledSignature[]> {
    const signal = this.#signal;
    const resolvable = async ({ digest }: Descriptor): Promise<boolean> =>
      (await repository.resolve(digest, { signal })) !== undefined;
    const paths = chosenPaths({ choice: 'present', has: has ?? resolvable });
    const { admitImage } = await import('../../engine/trust/admit-image.js');
    const admission = await admitImage({
      ruling: o.ruling,
      image: o.governed.image,
      target,
      paths: async (...of) => {
        const found = await paths(...of);
        for (const path of found) for (const { digest } of path.slice(1)) this.#parts.add(digest);
        return found;
      },
      read: o.read,
      sources: o.governed.signatures,
      signal,
    });
    return signaturesOf(admission);
  }

  #reader({ repository }: JudgedImage): ReadManifestBytes {
    return (descriptor) => this.#manifests.bytes(repository, descriptor, { signal: this.#signal });
  }
}
