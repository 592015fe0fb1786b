import { SpecError } from '../errors.js';
import type { Descriptor, Digest } from '../spec/index.js';
import type { ReferrersOptions, SourceRepository } from './source.js';

/** A signature of an attestation of an SBOM of an image has a depth of 3. */
export const REFERRER_DEPTH = 8;
/** Of one digest. An image that is signed daily for years has some 1,000. */
const MOST_REFERRERS = 10_000;

/** What refers to a digest, from whoever may list what he likes. Errors: those of the source; LIMIT_EXCEEDED. */
export async function* boundedReferrers(
  source: Pick<SourceRepository, 'referrers'>,
  subject: Digest,
  options: ReferrersOptions,
): AsyncGenerator<Descriptor, void, undefined> {
  let count = 0;
  for await (const descriptor of source.referrers(subject, options)) {
    count += 1;
    if (count > MOST_REFERRERS) {
      throw new SpecError('LIMIT_EXCEEDED', `${subject} has more than ${MOST_REFERRERS} referrers`, {
        details: { digest: subject, limit: MOST_REFERRERS },
      });
    }
    yield descriptor;
  }
}
