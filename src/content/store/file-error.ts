import { ContentError, LandfallError, systemCode } from '../../errors.js';

const NO_SPACE_CODES: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);

/**
 * What a failed file operation means to a caller: NO_SPACE or FILESYSTEM. An error that is one of ours passes as it is.
 *
 * @param action what was being done, for the message: `write the blob`
 */
export function fileError(cause: unknown, action: string, path: string): LandfallError {
  if (cause instanceof LandfallError) return cause as LandfallError;
  const code = systemCode(cause);
  const details = { path };
  if (NO_SPACE_CODES.has(code)) {
    return new ContentError('NO_SPACE', `cannot ${action}: no space left at ${path}`, {
      cause,
      details,
      hint: 'Free some space on that file system, or remove unused images with landfall gc, then try again.',
    });
  }
  return new ContentError('FILESYSTEM', `cannot ${action} at ${path}: ${reasonOf(cause, code)}`, {
    cause,
    details,
    hint: hintFor(code),
  });
}

function reasonOf(cause: unknown, code: string | undefined): string {
  return code ?? (cause instanceof Error ? cause.message : String(cause));
}

function hintFor(code: string | undefined): string {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return 'Choose a directory that you may write with --root, or change its owner or mode.';
    case 'ENOENT':
      return 'A directory on the way does not exist: check --root.';
    case 'ENOTDIR':
    case 'EEXIST':
    case 'ELOOP':
      return 'Choose another --root: a file stands where the store needs a directory.';
    case 'EMFILE':
    case 'ENFILE':
      return 'Raise the limit of open files: ulimit -n.';
    default:
      return 'Check the file system that holds the store.';
  }
}

/** The result, or undefined where the file does not exist. */
export async function unlessMissing<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
