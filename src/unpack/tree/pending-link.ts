import { UnpackError } from '../../errors.js';
import { fromBytePath, type BytePath, type Stat } from '../../system/index.js';
import type { PendingLink } from '../layer-snapshotter.js';
import { isSymlink } from './lower-stack.js';

/** The error for a hard link whose target is in no lower layer, or is a directory there. */
export function missingLinkTarget(link: PendingLink, isDirectory: boolean): UnpackError {
  const path = fromBytePath(link.path);
  const target = fromBytePath(link.target);
  const reason = isDirectory
    ? `${target}, which is a directory in a lower layer`
    : `${target}, which neither this layer nor one below it has`;
  return new UnpackError('BAD_ARCHIVE', `${path} is a hard link to ${reason}`, { details: { entry: path } });
}

/** What is said when a layer puts something below a path that is not a directory in the layers below. */
export function becomesDirectory(path: BytePath, stat: Stat): string {
  const kind = isSymlink(stat) ? 'a symlink' : 'not a directory';
  return `${fromBytePath(path)} is ${kind} in a lower layer and becomes a directory here`;
}
