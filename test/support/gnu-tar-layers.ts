import { lstat, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDirectoryName, namesIn, trimmed } from './built-image.js';
import { peerOutput } from './landfall-command.js';

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/**
 * As root, with everything that the archive says. tar takes a directory for finished when another name
 * follows, as in `a/`, `a.txt`, `a/b`, and so its time would be wrong, unless all directories wait for the
 * end.
 */
const EXTRACT = [
  '-x', '-p', '--numeric-owner', '--delay-directory-restore', '--xattrs', '--xattrs-include=*',
] as const; // prettier-ignore

/**
 * Applies layers to an empty directory with GNU tar, one after the other, as image-spec layer.md says
 * (Applying Changesets): what a layer deletes is deleted by hand first, and its other entries are extracted.
 * For archives whose names have no line breaks and pass through no symlinks.
 */
export async function extractWithGnuTar(
  blobs: readonly string[],
  directory: string,
  scratch: string,
): Promise<void> {
  for (const blob of blobs) {
    const names = await namesIn(blob);
    const times = join(scratch, 'times.tar');
    await peerOutput('sh', ['-c', SAVE_DIRECTORIES, 'save', directory, times]);
    for (const name of names) await makeWay(directory, name);
    await peerOutput('tar', [...EXTRACT, `--exclude=${WHITEOUT}*`, '-C', directory, '-f', blob]);
    await restoreUnlisted(directory, times, names);
  }
}

/** tar knows no whiteouts, and no directory that a file takes the place of. */
async function makeWay(directory: string, name: string): Promise<void> {
  const path = trimmed(name);
  const last = path.slice(path.lastIndexOf('/') + 1);
  const parent = join(directory, dirname(path));
  if (last === OPAQUE) {
    for (const child of await readdir(parent).catch(() => [])) await remove(join(parent, child));
  } else if (last.startsWith(WHITEOUT)) {
    await remove(join(parent, last.slice(WHITEOUT.length)));
  } else if (!isDirectoryName(name)) {
    const there = await lstat(join(directory, path)).catch(() => undefined);
    if (there?.isDirectory() === true) await remove(join(directory, path));
  }
}

async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

/**
 * A directory that a layer does not list stays as it was, although what the layer adds to it or deletes
 * changes its time.
 */
const SAVE_DIRECTORIES = String.raw`
set -eu
cd "$1"
find . -mindepth 1 -type d -print0 | tar -c --format=pax --no-recursion --null --verbatim-files-from -T - -f "$2"
`;

async function restoreUnlisted(directory: string, times: string, names: readonly string[]): Promise<void> {
  const listed = new Set(names.map(trimmed));
  const unlisted: string[] = [];
  for (const name of await namesIn(times)) {
    const path = trimmed(name);
    const there = listed.has(path) ? undefined : await lstat(join(directory, path)).catch(() => undefined);
    if (there?.isDirectory() === true) unlisted.push(`./${path}\0`);
  }
  const list = `${times}.list`;
  await mkdir(dirname(list), { recursive: true });
  await writeFile(list, unlisted.join(''));
  const names0 = ['--null', '--verbatim-files-from', '--no-recursion', '-T', list];
  if (unlisted.length > 0) await peerOutput('tar', ['-x', '-p', '-C', directory, ...names0, '-f', times]);
}
