import type { UnpackError } from '../../errors.js';
import { badArchive } from '../archive-error.js';

export function gzipCutShort(): UnpackError {
  return badArchive('the gzip data is cut short');
}

/** @param reason - one line */
export function gzipDamaged(reason: string): UnpackError {
  return badArchive(`the gzip data is damaged: ${reason}`);
}
