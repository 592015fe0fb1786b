import { chmod, lstat, mkdir, rename, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, isAbsolute } from 'node:path';
import { isLandfallError, LandfallError, systemCode } from '../../errors.js';

/** Its owner and its group may connect. */
const MODE = 0o660;
/** What fits into `sockaddr_un` with its ending zero (unix(7)). */
const LONGEST_PATH = 107;
/** While it is made it is called so, since it must not be found before it has its mode. */
const NEW = '.new';
/** How long a process may take to answer that holds the socket, in milliseconds. */
const PATIENCE_MS = 2_000;

/**
 * Reads `unix:///run/landfall/landfall.sock`, `unix:/run/…` or a plain absolute path.
 *
 * @returns the path
 * @throws LandfallError INVALID_CONFIG
 */
export function parseSocketAddress(text: string): string {
  const path = text.replace(/^unix:(?:\/\/(?=\/))?/, '');
  if (!isAbsolute(path) || path.startsWith('//') || path.endsWith('/')) {
    throw new LandfallError('INVALID_CONFIG', `${JSON.stringify(text)} is not the address of a socket`, {
      hint: 'Write unix:// and an absolute path, such as unix:///run/landfall/landfall.sock.',
    });
  }
  if (Buffer.byteLength(path) + NEW.length > LONGEST_PATH) {
    throw new LandfallError(
      'INVALID_CONFIG',
      `the path of the socket ${path} has more than ${LONGEST_PATH - NEW.length} bytes`,
      { hint: 'Sockets cannot have longer ones; choose a directory nearer to the root.' },
    );
  }
  return path;
}

/** A socket that is being made, and what it will be called. */
export interface NewSocket {
  /** Where to listen. */
  readonly temporary: string;
  /** Gives the socket its mode and its name, in place of a dead one. @throws LandfallError FILESYSTEM */
  publish(): Promise<void>;
}

/**
 * Prepares to listen at a path. What is left there of a process that died is replaced.
 *
 * @throws LandfallError IN_USE (another process listens there, or the file is no socket), FILESYSTEM
 */
export async function prepareSocket(path: string): Promise<NewSocket> {
  const temporary = `${path}${NEW}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await requireFree(path);
    await unlink(temporary).catch(unlessMissing);
  } catch (error) {
    throw socketError(error, path);
  }
  return {
    temporary,
    publish: async () => {
      try {
        await chmod(temporary, MODE);
        await rename(temporary, path);
      } catch (error) {
        throw socketError(error, path);
      }
    },
  };
}

/** Whether a process takes connections at a path. */
export async function isListening(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PATIENCE_MS, () => end(true));
    socket.once('connect', () => end(true));
    // A full backlog has a process behind it too.
    socket.once('error', (error) => end(systemCode(error) === 'EAGAIN'));
  });
}

async function requireFree(path: string): Promise<void> {
  const found = await lstat(path).catch(unlessMissing);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new LandfallError('IN_USE', `${path} is there already, and is no socket`, {
      hint: 'Remove it, or listen elsewhere.',
    });
  }
  if (!(await isListening(path))) return;
  throw new LandfallError('IN_USE', `another process listens at ${path}`, {
    hint: 'Stop it first, or listen elsewhere.',
  });
}

function unlessMissing(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error;
  return undefined;
}

function socketError(cause: unknown, path: string): LandfallError {
  if (isLandfallError(cause)) return cause;
  return new LandfallError(
    'FILESYSTEM',
    `the socket ${path} cannot be made (${systemCode(cause) ?? 'unknown error'})`,
    { cause, hint: 'Check the permissions of its directory, or listen elsewhere.' },
  );
}
