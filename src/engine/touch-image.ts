import { LandfallError } from '../errors.js';
import type { StoreParts } from './store.js';

/**
 * Notes that an image is being used, which is what `gc --unused-for` goes by. A store that cannot be written now, or an
 * additional one, is no reason for what uses the image to fail.
 */
export async function touchImage(store: Pick<StoreParts, 'images'>, name: string): Promise<void> {
  try {
    await store.images.touch(name);
  } catch (error) {
    if (!(error instanceof LandfallError)) throw error;
  }
}
