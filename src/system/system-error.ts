import { constants } from 'node:os';
import { fromBytePath, type BytePath } from './libc.js';

/** Where two names share a number, the one that Node's own errors use. */
const PREFERRED_NAMES: ReadonlySet<string> = new Set(['EAGAIN', 'ENOTSUP']);

let names: ReadonlyMap<number, string> | undefined;

/**
 * A system call that failed, in the shape of Node's own errors: `code` is the errno's name. Callers outside
 * `src/system` branch on `systemCode(error)` and wrap it in the error class of their part.
 */
export class SystemError extends Error {
  /** `ENOENT`, `EEXIST`, … */
  readonly code: string;
  /** The positive errno. */
  readonly errno: number;
  readonly syscall: string;
  /** For display: decoded as UTF-8. */
  readonly path: string | undefined;

  constructor(errno: number, syscall: string, path?: BytePath) {
    const code = errnoName(errno);
    const shown = path === undefined ? undefined : fromBytePath(path);
    super(shown === undefined ? `${code}: ${syscall} failed` : `${code}: ${syscall} '${shown}' failed`);
    this.name = 'SystemError';
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = shown;
  }
}

/** The symbolic name of a positive errno; `E<number>` for one that Node has no name for. */
export function errnoName(errno: number): string {
  names ??= new Map(
    Object.entries(constants.errno)
      .sort(([a], [b]) => Number(PREFERRED_NAMES.has(a)) - Number(PREFERRED_NAMES.has(b)))
      .map(([name, number]) => [number, name]),
  );
  return names.get(errno) ?? `E${errno}`;
}
