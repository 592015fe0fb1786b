import { removeImage, type RemovedImage, type Store } from '../../engine/index.js';
import { type Abortable, isLandfallError } from '../../errors.js';
import type { NodeImages } from '../node-images.js';

export interface RemoveNodeImageOptions {
  readonly store: Store;
  readonly images: NodeImages;
  /** Told of each name that went, and waited for before the removal is answered. */
  readonly onRemoved?: ((removed: RemovedImage, o: Abortable) => Promise<void>) | undefined;
}

/**
 * Removes an image (CRI: RemoveImage) with all of its names, whether it is called by its ID or by one of them. Its space is free when
 * this resolves. Pinned is what nobody collects by itself; who asks for its removal is obeyed. What is not there is removed already.
 *
 * @throws SpecError INVALID_REFERENCE; those of removing, UNSUPPORTED (only an additional store has it) among them
 */
export async function removeNodeImage(
  called: string,
  { store, images, onRemoved, signal }: RemoveNodeImageOptions & Abortable,
): Promise<void> {
  const image = await images.find(called);
  for (const name of image?.names ?? []) {
    const removed = await removeImage(store, name).catch(unlessGone);
    if (removed !== undefined) await onRemoved?.(removed, { signal });
  }
}

/** Somebody else may have removed it at the same time. */
function unlessGone(error: unknown): undefined {
  if (!isLandfallError(error) || error.code !== 'BLOB_NOT_FOUND') throw error;
  return undefined;
}
