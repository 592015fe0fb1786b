import { UnpackError } from '../../errors.js';
import { fromBytePath, type BytePath } from '../../system/index.js';
import { badArchive, printable } from '../archive-error.js';
import type { LayerLink, LayerNode } from '../layer/layer-node.js';
import type { PendingLink } from '../layer-snapshotter.js';

/**
 * Refuses a hard link to what the same layer hides, since it can never be made. All the layer's whiteouts must be known.
 *
 * @throws {UnpackError} BAD_ARCHIVE
 */
export function refuseDeletedTarget(root: LayerNode<unknown>, link: LayerLink): void {
  let node: LayerNode<unknown> | undefined = root;
  for (const name of link.target.split('/')) {
    if (node === undefined) return;
    if (node.opaque || node.whiteouts.has(name)) {
      throw badArchive(`a hard link to ${printable(link.target)}, which the layer itself deletes`, link.path);
    }
    node = node.children.get(name) ?? node.absent?.get(name);
  }
}

/** The error for a hard link whose target is in no lower layer, or is a directory there. */
export function missingLinkTarget(link: PendingLink, isDirectory: boolean): UnpackError {
  const target = printable(link.target);
  const reason = isDirectory
    ? `${target}, which is a directory in a lower layer`
    : `${target}, which neither this layer nor one below it has`;
  return new UnpackError('BAD_ARCHIVE', `${printable(link.path)} is a hard link to ${reason}`, {
    details: { entry: fromBytePath(link.path) },
  });
}

/** What is said when a layer puts something below a path that is not a directory in the layers below. */
export function becomesDirectory(path: BytePath, symlink: boolean): string {
  const kind = symlink ? 'a symlink' : 'not a directory';
  return `${printable(path)} is ${kind} in a lower layer and becomes a directory here`;
}
