import { UnpackError } from '../../errors.js';
import { LIMITS, type UnpackLimits } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import { badArchive, limitExceeded, printable } from '../archive-error.js';

export type PathLimits = Pick<UnpackLimits, 'pathBytes' | 'pathDepth'>;

/**
 * The components of a path that an archive names, relative to the layer's root; none for the root itself. A leading `/`
 * and `.` components are dropped and `..` is resolved in the text alone, as containerd and umoci do it; but one that
 * climbs above the root is refused, where they stop at the root.
 *
 * @param prefix - what the last component may begin with; it is no part of the name and counts for no limit
 * @throws {UnpackError} UNSAFE_PATH, LIMIT_EXCEEDED, and BAD_ARCHIVE for no name at all
 */
export function entryComponents(path: BytePath, limits: PathLimits, prefix: BytePath = ''): BytePath[] {
  if (path === '') throw badArchive('an entry has no name');
  if (path.length > limits.pathBytes) checkBytes(path, limits, prefix);
  const components: BytePath[] = [];
  for (const component of path.split('/')) {
    if (component === '' || component === '.') continue;
    if (component !== '..') components.push(component);
    else if (components.pop() === undefined) throw climbs(path);
  }
  if (components.length > limits.pathDepth) {
    throw limitExceeded(`a path has ${components.length} components; the limit is ${limits.pathDepth}`);
  }
  const last = components.length - 1;
  const bytesOf = (component: BytePath, i: number): number =>
    component.length - (i === last && component.startsWith(prefix) ? prefix.length : 0);
  if (components.some((component, i) => bytesOf(component, i) > LIMITS.nameBytes)) {
    throw limitExceeded(`a name has more than ${LIMITS.nameBytes} bytes`);
  }
  return components;
}

/** What leads to the root, and the slash behind a directory, are part of no path that is written. */
function checkBytes(path: BytePath, { pathBytes }: PathLimits, prefix: BytePath): void {
  const begin = path.startsWith('./') ? 2 : path.startsWith('/') ? 1 : 0;
  const end = path.length - (path.endsWith('/') ? 1 : 0);
  const hasPrefix = path.startsWith(prefix, path.lastIndexOf('/', end - 1) + 1);
  const length = end - begin - (hasPrefix ? prefix.length : 0);
  if (length > pathBytes) throw limitExceeded(`a path has ${length} bytes; the limit is ${pathBytes}`);
}

function climbs(path: BytePath): UnpackError {
  return new UnpackError('UNSAFE_PATH', `the path ${printable(path)} leads out of the layer`, {
    hint: 'Do not use this image: no honest tool makes such a layer.',
  });
}
