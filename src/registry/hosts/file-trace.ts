import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';

import { LandfallError, systemCode } from '../../errors.js';

const MAX_FILE_BYTES = 1 << 20;
// Coarse clocks give two writes one time: what changed so shortly before it was read may have changed after it unseen.
const UNSETTLED_MS = 2_000;

const ABSENT = 'absent';
const UNSETTLED = 'unsettled';

/** Makes the error for a path, from what is wrong with it in words. */
export type FileFault = (path: string, what: string, cause?: unknown) => LandfallError;

interface Identity {
  readonly isDirectory: boolean;
  readonly isFile: boolean;
  readonly size: number;
  readonly isSettled: boolean;
  readonly text: string;
}

/**
 * Reads files and remembers all that was looked for, there or not, so that it can be told whether anything changed since.
 * What cannot be read is INVALID_CONFIG; what is absent is not.
 */
export class FileTrace {
  readonly #identities = new Map<string, string>();
  readonly #content = createHash('sha256');

  async hasDirectory(path: string): Promise<boolean> {
    const identity = await this.#look(path);
    if (identity === undefined) return false;
    if (!identity.isDirectory) throw unreadable(path, 'is not a directory');
    return true;
  }

  /** Names of the files in a directory; what is no file, nor a link, is left out. */
  async list(path: string): Promise<readonly string[]> {
    await this.#look(path);
    const entries = await withFault(path, unreadable, () => readdir(path, { withFileTypes: true }));
    const names = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
    this.#content.update(`${[...names].sort().join('/')}\0`);
    return names;
  }

  /** @param fault makes the error for a file that is there and cannot be read */
  async read(path: string, fault: FileFault = unreadable): Promise<Buffer | undefined> {
    const identity = await this.#look(path, fault);
    if (identity === undefined) return undefined;
    // A device or a pipe might never end.
    if (!identity.isFile) throw fault(path, 'is not a file');
    if (identity.size > MAX_FILE_BYTES) throw fault(path, `has more than ${MAX_FILE_BYTES} bytes`);
    const content = await withFault(path, fault, () => readFile(path));
    this.#content.update(`${content.length}\0`).update(content);
    return content;
  }

  /** Stands for all that was read: equal where paths and contents are. Call it once, at the end. */
  fingerprint(): string {
    return this.#content.digest('hex');
  }

  /** Whether everything is as it was: modification time, size, inode. */
  async isUnchanged(): Promise<boolean> {
    const checks = [...this.#identities].map(async ([path, before]) => {
      try {
        return ((await identify(path))?.text ?? ABSENT) === before;
      } catch {
        return false;
      }
    });
    return (await Promise.all(checks)).every((same) => same);
  }

  async #look(path: string, fault: FileFault = unreadable): Promise<Identity | undefined> {
    const identity = await withFault(path, fault, () => identify(path));
    // Before it is read: a change in between is then seen at the next check.
    const settled = identity?.isSettled === false ? UNSETTLED : identity?.text;
    this.#identities.set(path, settled ?? ABSENT);
    this.#content.update(`${path}\0${identity === undefined ? ABSENT : 'there'}\0`);
    return identity;
  }
}

async function withFault<T>(path: string, fault: FileFault, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw fault(path, `cannot be read (${systemCode(cause) ?? 'unknown error'})`, cause);
  }
}

async function identify(path: string): Promise<Identity | undefined> {
  try {
    const found = await stat(path, { bigint: true });
    return {
      isDirectory: found.isDirectory(),
      isFile: found.isFile(),
      size: Number(found.size),
      isSettled: Math.abs(Date.now() - Number(found.mtimeMs)) > UNSETTLED_MS,
      text: `${found.dev} ${found.ino} ${found.size} ${found.mtimeNs}`,
    };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function unreadable(path: string, what: string, cause?: unknown): LandfallError<'INVALID_CONFIG'> {
  return new LandfallError('INVALID_CONFIG', `${path} ${what}`, {
    hint: 'Make it readable, or take it away.',
    details: { file: path },
    ...(cause === undefined ? {} : { cause }),
  });
}
