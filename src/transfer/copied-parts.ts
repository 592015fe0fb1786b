import { availablePlatforms, noMatchingPlatform } from '../engine/read-document.js';
import { TrustError } from '../errors.js';
import type { Descriptor, Digest, ImageIndex, Platform } from '../spec/index.js';
import type { CopiedContent } from './copy-report.js';
import type { PlatformChoice } from './copy-request.js';

/** What has been found so far of one image, or of one referrer, that is being copied. */
export class CopiedParts {
  readonly choice: PlatformChoice;
  readonly omitted: Descriptor[] = [];
  readonly #contents = new Map<Digest, CopiedContent>();
  readonly #documents = new Map<Digest, Promise<void>>();
  readonly #matched = new Set<Platform>();
  /** Whether an index within it was not looked into. */
  #isPartlyKnown = false;

  readonly #admitted: ReadonlySet<Digest> | undefined;

  /** @param admitted what may be copied of indexes; absent: all */
  constructor(choice: PlatformChoice, admitted?: ReadonlySet<Digest>) {
    this.choice = choice;
    this.#admitted = admitted;
  }

  /**
   * A source that is written to meanwhile may have more of an index than it had when the image was verified.
   *
   * @throws {TrustError} POLICY_REJECTED for what of an index was not verified
   */
  requireAdmitted({ digest }: Descriptor): void {
    if (this.#admitted === undefined || this.#admitted.has(digest)) return;
    throw new TrustError(
      'POLICY_REJECTED',
      `${digest} came to the image after its signatures were verified`,
      {
        hint: 'Copy it again.',
        details: { image: digest },
      },
    );
  }

  get contents(): readonly CopiedContent[] {
    return [...this.#contents.values()];
  }

  add(content: CopiedContent): void {
    const { descriptor, outcome } = content;
    // What several of its manifests name is there for all but the first that brings it.
    if (!this.#contents.has(descriptor.digest) || outcome !== 'exists') {
      this.#contents.set(descriptor.digest, content);
    }
  }

  /** Does what is to be done with a manifest once, however many indexes list it. No index leads to itself, so none waits for itself. */
  async once({ digest }: Descriptor, action: () => Promise<void>): Promise<void> {
    let doing = this.#documents.get(digest);
    if (doing === undefined) {
      doing = action();
      this.#documents.set(digest, doing);
    }
    await doing;
  }

  /** Notes which platforms of the choice an index has something for; without a list that nobody knows. */
  match(unmatched?: readonly Platform[]): void {
    if (unmatched === undefined) this.#isPartlyKnown = true;
    else
      for (const platform of this.#platforms) if (!unmatched.includes(platform)) this.#matched.add(platform);
  }

  /** @throws {SpecError} NO_MATCHING_PLATFORM where neither an index nor one within it has a platform of the choice */
  requirePlatforms(target: Descriptor, index: ImageIndex): void {
    const missing = this.#platforms.find((platform) => !this.#matched.has(platform));
    if (missing === undefined || this.#isPartlyKnown) return;
    throw noMatchingPlatform(target, missing, availablePlatforms(index));
  }

  get #platforms(): readonly Platform[] {
    return typeof this.choice === 'string' ? [] : this.choice;
  }
}
