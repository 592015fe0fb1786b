import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isListening } from './unix-socket.js';

/** Where a daemon says where it listens, for commands on the same root. */
const FILE = 'daemon.json';

export interface DaemonAddress {
  readonly pid: number;
  /** The path of its socket. */
  readonly socket: string;
}

/** Says where the daemon of a root listens. Removed when it stops; one that a killed daemon left leads to no listener. */
export async function writeDaemonFile(root: string, address: DaemonAddress): Promise<AsyncDisposable> {
  const path = join(root, FILE);
  const temporary = `${path}.${address.pid}`;
  await writeFile(temporary, `${JSON.stringify(address)}\n`, { mode: 0o644 });
  await rename(temporary, path);
  return {
    [Symbol.asyncDispose]: async () => {
      // Another may have been started on the root meanwhile.
      if ((await readAddress(root))?.pid === address.pid) await rm(path, { force: true });
    },
  };
}

/** The daemon that listens for a root, or undefined. Its socket may still refuse who asks. */
export async function findDaemon(root: string): Promise<DaemonAddress | undefined> {
  const address = await readAddress(root);
  return address !== undefined && (await isListening(address.socket)) ? address : undefined;
}

async function readAddress(root: string): Promise<DaemonAddress | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(join(root, FILE), 'utf8'));
    if (typeof value !== 'object' || value === null) return undefined;
    const { pid, socket } = value as Record<string, unknown>;
    return typeof pid === 'number' && typeof socket === 'string' ? { pid, socket } : undefined;
  } catch {
    return undefined;
  }
}
