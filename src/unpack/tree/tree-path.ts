import type { BytePath } from '../../system/index.js';

/*
 * Paths within a layer or a merged tree: relative to its root, resolved, without leading or trailing slash; `''` is the
 * root itself.
 */

/** The directory that holds a path; the root's is the root. */
export function parentPath(path: BytePath): BytePath {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** The last component; `.` for the root, so that a call relative to a directory's descriptor means the directory itself. */
export function lastName(path: BytePath): BytePath {
  return path === '' ? '.' : path.slice(path.lastIndexOf('/') + 1);
}

export function joinPath(directory: BytePath, name: BytePath): BytePath {
  return directory === '' ? name : `${directory}/${name}`;
}

/** All directories above a path, the root first, without the path itself. */
export function ancestorPaths(path: BytePath): BytePath[] {
  if (path === '') return [];
  const found: BytePath[] = [''];
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) found.push(path.slice(0, at));
  return found;
}

/** Components, so that sorting by it puts a directory before what it holds. */
export function pathDepth(path: BytePath): number {
  if (path === '') return 0;
  let depth = 1;
  for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) depth += 1;
  return depth;
}
