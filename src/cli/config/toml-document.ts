import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import { isLandfallError, LandfallError, systemCode } from '../../errors.js';
import { lineOf } from '../../registry/hosts/toml-line.js';

/** The template has a quarter of that. */
const LARGEST_BYTES = 64 * 1024;

/** A TOML file that parses. */
export interface TomlDocument {
  readonly root: Readonly<Record<string, unknown>>;
  /** The line, from 1, where what is at these keys begins. */
  readonly lineOf: (keys: readonly string[]) => number;
}

/** @throws {LandfallError} INVALID_CONFIG with file, and line and column where it is no TOML */
export function readToml(path: string): TomlDocument {
  const text = textOf(path);
  try {
    return { root: parse(text), lineOf: (keys) => lineOf(text, keys) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column } = error;
    // Without the cause, and only the first line: the rest quotes the file.
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? '';
    throw new LandfallError('INVALID_CONFIG', `${path}:${line}:${column}: not TOML: ${what}`, {
      hint: 'Mend the file; `landfall config --template` shows one that is right.',
      details: { file: path, line, column },
    });
  }
}

function textOf(path: string): string {
  const bytes = bytesOf(path);
  if (bytes.length > LARGEST_BYTES) {
    throw unreadable(path, `has more than ${LARGEST_BYTES} bytes`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw unreadable(path, 'is not UTF-8');
  }
}

/** No more of it than is needed to know that there is too much. A pipe or a device would keep Node from hearing signals. */
function bytesOf(path: string): Buffer {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return fstatSync(fd).isFile() ? headOf(fd, LARGEST_BYTES + 1) : irregular(path);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    if (isLandfallError(cause)) throw cause;
    const code = systemCode(cause);
    if (code === 'ENOENT') throw unreadable(path, 'is not there');
    throw unreadable(path, `cannot be read (${code ?? 'unknown error'})`, cause);
  }
}

function irregular(path: string): never {
  throw unreadable(path, 'is no regular file');
}

function headOf(fd: number, most: number): Buffer {
  const bytes = Buffer.allocUnsafe(most);
  let length = 0;
  for (;;) {
    const read = readSync(fd, bytes, length, most - length, null);
    length += read;
    if (read === 0 || length === most) return bytes.subarray(0, length);
  }
}

function unreadable(path: string, what: string, cause?: unknown): LandfallError {
  return new LandfallError('INVALID_CONFIG', `the configuration file ${path} ${what}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'Mend the file, name another one with --config, or none with --config /dev/null.',
    details: { file: path },
  });
}
