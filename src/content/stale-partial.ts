import { ContentError } from '../errors.js';

/** What an earlier process had left may be what a power cut made of it: worth one more try from zero. */
export function stalePartial(mismatch: ContentError): ContentError {
  return new ContentError('DIGEST_MISMATCH', mismatch.message, {
    cause: mismatch,
    retryable: true,
    details: mismatch.details,
    hint: 'What an earlier download had left was damaged and is gone; try again.',
  });
}
