import { isThere } from './is-there.js';
import { PolicyFile } from './policy-file.js';
import type { PolicyImage } from './policy-image.js';
import type { SignatureRuling } from './signature-ruling.js';

/**
 * The policy that nobody has named, for what runs for long: the first that is there of some places, looked for anew each time, so that one that
 * is put there later governs from then on. While there is none, everything is accepted.
 */
export class PolicyInPlaces extends PolicyFile {
  readonly #places: readonly string[];

  /** @param places absolute, the first that is there counts */
  constructor(places: readonly [string, ...string[]]) {
    super(places[0]);
    this.#places = places;
  }

  override async rulingFor(image: PolicyImage): Promise<SignatureRuling | undefined> {
    return await (await this.#inEffect())?.rulingFor(image);
  }

  override async admitUnnamed(what: string): Promise<void> {
    await (await this.#inEffect())?.admitUnnamed(what);
  }

  override async acceptsEverything(): Promise<boolean> {
    return (await (await this.#inEffect())?.acceptsEverything()) ?? true;
  }

  async #inEffect(): Promise<PolicyFile | undefined> {
    for (const place of this.#places) if (await isThere(place)) return new PolicyFile(place);
    return undefined;
  }
}
