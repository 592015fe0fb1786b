import { SpecError } from '../../errors.js';
import type { ImageSpec } from './messages.js';

/**
 * What an image is called in a request (CRI: ImageSpec.image).
 *
 * @throws SpecError INVALID_REFERENCE where it is called nothing
 */
export function nameIn(spec: ImageSpec | null): string {
  if (spec !== null && spec.image !== '') return spec.image;
  throw new SpecError('INVALID_REFERENCE', 'the request names no image');
}
