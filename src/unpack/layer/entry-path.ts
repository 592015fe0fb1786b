import { UnpackError } from '../../errors.js';
import { LIMITS } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import { badArchive, limitExceeded, printable } from '../archive-error.js';

/**
 * The components of a path that an archive names, relative to the layer's root; none for the root itself. A leading `/`
 * and `.` components are dropped and `..` is resolved in the text alone, as containerd and umoci do it; but one that
 * climbs above the root is refused, where they stop at the root.
 *
 * @throws {UnpackError} UNSAFE_PATH, LIMIT_EXCEEDED, and BAD_ARCHIVE for no name at all
 */
export function entryComponents(path: BytePath): BytePath[] {
  if (path === '') throw badArchive('an entry has no name');
  if (path.length > LIMITS.pathBytes) {
    throw limitExceeded(`a path has ${path.length} bytes; the limit is ${LIMITS.pathBytes}`);
  }
  const components: BytePath[] = [];
  for (const component of path.split('/')) {
    if (component === '' || component === '.') continue;
    if (component !== '..') components.push(component);
    else if (components.pop() === undefined) throw climbs(path);
  }
  if (components.length > LIMITS.pathDepth) {
    throw limitExceeded(`a path has ${components.length} components; the limit is ${LIMITS.pathDepth}`);
  }
  if (components.some((component) => component.length > LIMITS.nameBytes)) {
    throw limitExceeded(`a name has more than ${LIMITS.nameBytes} bytes`);
  }
  return components;
}

function climbs(path: BytePath): UnpackError {
  return new UnpackError('UNSAFE_PATH', `the path ${printable(path)} leads out of the layer`, {
    hint: 'Do not use this image: no honest tool makes such a layer.',
  });
}
