import { removeImage, type RemovedImage, type Store } from '../../engine/index.js';
import { type Abortable, isLandfallError } from '../../errors.js';
import { encodedOf, formatReference, parseReference } from '../../spec/index.js';
import type { NodeImage, NodeImages } from '../node-images.js';

export interface RemoveNodeImageOptions {
  readonly store: Store;
  readonly images: NodeImages;
  /** Told of each name that went, and waited for before the removal is answered. */
  readonly onRemoved?: ((removed: RemovedImage, o: Abortable) => Promise<void>) | undefined;
}

/**
 * Removes an image (CRI: RemoveImage): all of its names where it is called by its ID, else the names that it was called by. With
 * its last name the image goes, and its space is free when this resolves. Pinned is what nobody collects by itself; who asks
 * for its removal is obeyed. What is not there is removed already.
 *
 * @throws SpecError INVALID_REFERENCE; those of removing, UNSUPPORTED (only an additional store has it) among them
 */
export async function removeNodeImage(
  called: string,
  { store, images, onRemoved, signal }: RemoveNodeImageOptions & Abortable,
): Promise<void> {
  const image = await images.find(called);
  if (image === undefined) return;
  for (const name of namesFor(image, called)) {
    const removed = await removeImage(store, name).catch(unlessGone);
    if (removed !== undefined) await onRemoved?.(removed, { signal });
  }
}

/** Somebody else may have removed it at the same time. */
function unlessGone(error: unknown): undefined {
  if (!isLandfallError(error) || error.code !== 'BLOB_NOT_FOUND') throw error;
  return undefined;
}

/** The names that go. A digest stands for every name in its repository that has it. */
function namesFor({ id, names, repoDigests }: NodeImage, called: string): readonly string[] {
  const beginning = called.replace(/^sha256:/, '');
  const exact = canonical(called);
  if (exact !== undefined && names.includes(exact)) return [exact];
  if (encodedOf(id).startsWith(beginning)) return names;
  const repoDigest = repoDigests.find((digest) => exact?.endsWith(digest.slice(digest.indexOf('@'))));
  const repository = repoDigest?.slice(0, repoDigest.indexOf('@'));
  return names.filter((name) => repository !== undefined && isIn(name, repository));
}

function canonical(name: string): string | undefined {
  try {
    return formatReference(parseReference(name, { defaultTag: true }));
  } catch {
    return undefined;
  }
}

function isIn(name: string, repository: string): boolean {
  return name.startsWith(`${repository}:`) || name.startsWith(`${repository}@`);
}
