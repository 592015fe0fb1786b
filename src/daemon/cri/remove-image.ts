import { removeImage, type Store } from '../../engine/index.js';
import { LandfallError } from '../../errors.js';
import { encodedOf, formatReference, parseReference } from '../../spec/index.js';
import type { NodeImage, NodeImages } from '../node-images.js';

/**
 * Removes an image (CRI: RemoveImage): all of its names where it is called by its ID, else the names that it was called by. With
 * its last name the image goes, and its space is free when this resolves. Pinned is what nobody collects by itself; who asks
 * for its removal is obeyed. What is not there is removed already.
 *
 * @throws SpecError INVALID_REFERENCE; those of removing, UNSUPPORTED (only an additional store has it) among them
 */
export async function removeNodeImage(store: Store, images: NodeImages, called: string): Promise<void> {
  const image = await images.find(called);
  if (image === undefined) return;
  for (const name of namesFor(image, called)) {
    await removeImage(store, name).catch((error: unknown) => {
      // Somebody else removed it at the same time.
      if (!(error instanceof LandfallError) || error.code !== 'BLOB_NOT_FOUND') throw error;
    });
  }
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
