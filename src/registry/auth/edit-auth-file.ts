import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import {
  chown,
  type FileHandle,
  mkdir,
  open,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { type Abortable, LandfallError, systemCode } from '../../errors.js';
import { lock } from '../../system/index.js';
import { parseAuthFile } from './auth-file.js';
import { unreadable } from './read-auth-file.js';

/** What an edit does to the parsed file; false leaves the file as it is. */
export type Edit = (document: Record<string, unknown>) => boolean;

/** As docker indents it. */
const DEFAULT_INDENT = '\t';
/** Another tool that writes all the time would be a loop of its own. */
const ATTEMPTS = 10;
const MAX_LINKS = 40;

/**
 * Changes an auth file, or makes it: mode 0600, in a directory that gets 0700 if it is made. Keys that the edit does not
 * touch stay, in their order and with the file's indentation. The new content takes the place of the old in one step,
 * behind symbolic links if there are any, and is on disk when this returns.
 *
 * Two at once lose nothing. Processes of landfall take turns, by an flock on the directory. Docker and others take no
 * lock, so the file is read again just before the rename, and if it changed meanwhile the edit is made again.
 *
 * @throws {LandfallError} INVALID_CONFIG: not of the form that can be written, not readable, not writable; ABORTED
 */
export async function editAuthFile(path: string, edit: Edit, options: Abortable = {}): Promise<boolean> {
  try {
    const target = await behindLinks(resolve(path));
    await makePrivateDirectory(dirname(target));
    return await inTurn(dirname(target), () => editInPlace(target, edit), options);
  } catch (cause) {
    if (cause instanceof LandfallError) throw cause;
    throw new LandfallError(
      'INVALID_CONFIG',
      `${path} cannot be written (${systemCode(cause) ?? 'unknown error'})`,
      {
        cause,
        hint: 'Name a file that you may write with --authfile.',
        details: { path },
      },
    );
  }
}

async function editInPlace(path: string, edit: Edit): Promise<boolean> {
  for (let attempt = 1; ; attempt += 1) {
    const before = await contentOf(path);
    const document = parseWritable(before ?? '', path);
    if (!edit(document)) return false;
    const text = `${JSON.stringify(document, undefined, indentOf(before))}${before?.endsWith('\n') === false ? '' : '\n'}`;
    const unchanged = async (): Promise<boolean> =>
      attempt === ATTEMPTS || (await contentOf(path)) === before;
    if (await replace(path, text, unchanged)) return true;
  }
}

function parseWritable(text: string, path: string): Record<string, unknown> {
  // Refuses what is not of its form, before anything is lost.
  if (parseAuthFile(text, path).writable)
    return text.trim() === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  throw new LandfallError('INVALID_CONFIG', `${path} is of a form that is read, but not written`, {
    hint: 'Name another file with --authfile.',
    details: { path },
  });
}

/** Puts a new file in the place of the old; false, and nothing done, if the old one is no longer what it was. */
async function replace(path: string, text: string, unchanged: () => Promise<boolean>): Promise<boolean> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await keepOwner(path, temporary);
    if (!(await unchanged())) {
      await rm(temporary, { force: true });
      return false;
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await withDirectory(dirname(path), (directory) => directory.sync());
  return true;
}

/** Root may log in for somebody else, as with sudo. */
async function keepOwner(from: string, to: string): Promise<void> {
  const [old, fresh] = await Promise.all([stat(from).catch(() => undefined), stat(to)]);
  if (old !== undefined && (old.uid !== fresh.uid || old.gid !== fresh.gid)) {
    await chown(to, old.uid, old.gid).catch(() => undefined);
  }
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw unreadable(path, cause);
  }
}

function indentOf(text: string | undefined): string {
  return /^[{[]\r?\n([ \t]+)/.exec(text?.trimStart() ?? '')?.[1] ?? DEFAULT_INDENT;
}

/** The file that a path leads to, which need not exist: a link may come before what it points to. */
async function behindLinks(path: string, links = 0): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || links === MAX_LINKS) throw error;
  }
  const target = await readlink(path).catch(() => undefined);
  return target === undefined ? path : await behindLinks(resolve(dirname(path), target), links + 1);
}

/** Node's own recursive mkdir never ends where the kernel answers ENOENT below a directory that exists, as in /proc. */
async function makePrivateDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, 0o700);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makePrivateDirectory(dirname(path));
    await mkdir(path, 0o700);
  }
}

async function inTurn<T>(path: string, action: () => Promise<T>, options: Abortable): Promise<T> {
  return await withDirectory(path, async (directory) => {
    try {
      await lock(directory.fd, options);
    } catch (error) {
      // Some network file systems lock nothing; the second reading is what is left.
      if (error instanceof LandfallError && error.code === 'ABORTED') throw error;
    }
    return await action();
  });
}

async function withDirectory<T>(path: string, action: (directory: FileHandle) => Promise<T>): Promise<T> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await action(directory);
  } finally {
    await directory.close();
  }
}
