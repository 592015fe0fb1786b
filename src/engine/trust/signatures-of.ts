import type { PulledSignature } from '../pull-result.js';
import type { Admission } from './admit-image.js';

/** By whom an image is signed that was let in, and which rule asked. */
export function signaturesOf({ ruling, met }: Pick<Admission, 'ruling' | 'met'>): readonly PulledSignature[] {
  const { policy, scope } = ruling;
  return met.map(({ digest, signedBy, format, signature }) => {
    return { digest, signedBy, format, signature, policy, scope };
  });
}
