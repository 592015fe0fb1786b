import { readdir, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, encodedOf } from '../spec/index.js';
import { isListening } from './grpc/unix-socket.js';

/**
 * The file in which a daemon writes where it listens, for commands on the same root. Several daemons may
 * serve one root, such as a kubelet's and one in a container that keeps a list of images there; the second
 * names its file after its socket.
 */
const FILE = 'daemon.json';
const FILES = /^daemon(?:-[0-9a-f]+)?\.json$/;
/** Of the digest of a socket's path. */
const NAME_DIGITS = 16;

export interface DaemonAddress {
  readonly pid: number;
  /** The path of its socket. */
  readonly socket: string;
}

/** What a file says. */
interface DaemonFile extends DaemonAddress {
  /** The pid namespace of the daemon. Empty where /proc does not have it. */
  readonly namespace: string;
  /** When it began to serve, in milliseconds since 1970. */
  readonly since: number;
}

/**
 * Writes where a daemon of a root listens. The file is removed when it stops; the file of a killed daemon
 * leads to no listener, and the next daemon at its socket replaces it.
 */
export async function writeDaemonFile(root: string, address: DaemonAddress): Promise<AsyncDisposable> {
  const { pid, socket } = address;
  const own = join(root, `daemon-${encodedOf(digestOf(Buffer.from(socket))).slice(0, NAME_DIGITS)}.json`);
  const path = (await isTaken(join(root, FILE), socket)) ? own : join(root, FILE);
  // What an earlier one at this socket may have left.
  await rm(own, { force: true });
  const temporary = `${path}.${pid}`;
  const file: DaemonFile = { pid, socket, namespace: await pidNamespace(), since: Date.now() };
  await writeFile(temporary, `${JSON.stringify(file)}\n`, { mode: 0o644 });
  await rename(temporary, path);
  return {
    [Symbol.asyncDispose]: async () => {
      // Another may have been started at the socket meanwhile.
      if ((await readDaemonFile(path))?.pid === pid) await rm(path, { force: true });
    },
  };
}

/**
 * The daemon that listens for a root, or undefined. Of several, one in this process's own pid namespace comes
 * first, which most likely has the same configuration; then the one that serves for longest. Its socket may
 * still refuse this user.
 */
export async function findDaemon(root: string): Promise<DaemonAddress | undefined> {
  const here = await pidNamespace();
  const isElsewhere = ({ namespace }: DaemonFile): number => (namespace === here ? 0 : 1);
  const files = (await readDaemonFiles(root)).sort(
    (a, b) => isElsewhere(a) - isElsewhere(b) || a.since - b.since,
  );
  for (const { pid, socket } of files) if (await isListening(socket)) return { pid, socket };
  return undefined;
}

/** Whether a daemon at another socket has a file, and lives. */
async function isTaken(path: string, socket: string): Promise<boolean> {
  const file = await readDaemonFile(path);
  return file !== undefined && file.socket !== socket && (await isListening(file.socket));
}

async function readDaemonFiles(root: string): Promise<DaemonFile[]> {
  // A user without the right to read the root pulls without a daemon.
  const names = await readdir(root).catch((): string[] => []);
  const read = names.filter((name) => FILES.test(name)).map((name) => readDaemonFile(join(root, name)));
  return (await Promise.all(read)).filter((file) => file !== undefined);
}

async function readDaemonFile(path: string): Promise<DaemonFile | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof value !== 'object' || value === null) return undefined;
    const { pid, socket, namespace, since } = value as Record<string, unknown>;
    if (typeof pid !== 'number' || typeof socket !== 'string') return undefined;
    if (typeof namespace !== 'string' || typeof since !== 'number') return undefined;
    return { pid, socket, namespace, since };
  } catch {
    return undefined;
  }
}

async function pidNamespace(): Promise<string> {
  return await readlink('/proc/self/ns/pid').catch(() => '');
}
