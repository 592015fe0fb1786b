import { readFile } from 'node:fs/promises';

import { LandfallError, systemCode } from '../../errors.js';
import { type AuthFile, parseAuthFile } from './auth-file.js';

/** How the system says that there is no such file, a parent that is a file included. */
const MISSING: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR']);

/**
 * The file, or undefined where there is none.
 *
 * @throws {LandfallError} INVALID_CONFIG: it cannot be read, or is not of its form
 */
export async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (MISSING.has(systemCode(cause))) return undefined;
    throw unreadable(path, cause);
  }
  return parseAuthFile(text, path);
}

export function unreadable(path: string, cause: unknown): LandfallError<'INVALID_CONFIG'> {
  const reason = systemCode(cause) ?? 'unknown error';
  return new LandfallError('INVALID_CONFIG', `${path} cannot be read (${reason})`, {
    cause,
    hint: 'Give another file with --authfile, or make this one readable.',
    details: { path },
  });
}
