import { TrustError } from '../errors.js';
import type { PolicyImage } from '../trust/index.js';

/** Says why nothing in an archive of Docker has a signature, where that is what is amiss; else gives the error as it is. */
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
