import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { pause } from '../../concurrency/index.js';
import { type Abortable, throwIfAborted } from '../../errors.js';
import { errno, libc, systemError } from './libc.js';

export type LockKind = 'exclusive' | 'shared';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const EAGAIN = 11;
const EINTR = 4;

/** Long enough to cost nothing while waiting, short enough that nobody notices it. */
const LONGEST_PAUSE_MS = 100;

/**
 * Takes an flock(2) on an open file without waiting; false where another open file description holds it. The
 * lock goes with the last descriptor that is closed, a crash included. Taking it again as the other kind
 * converts it.
 *
 * @throws SystemError
 */
export function tryLock(fd: number, kind: LockKind): boolean {
  for (;;) {
    if (libc().flock(fd, (kind === 'exclusive' ? LOCK_EX : LOCK_SH) | LOCK_NB) >= 0) return true;
    const number = errno();
    if (number === EAGAIN) return false;
    if (number !== EINTR) throw systemError('flock');
  }
}

/** @throws SystemError */
export function unlock(fd: number): void {
  if (libc().flock(fd, LOCK_UN) < 0) throw systemError('flock');
}

/**
 * Waits for an flock. It polls with growing pauses: a blocking flock would hold a thread of the pool that
 * nothing can take out of it again.
 *
 * @throws LandfallError ABORTED, SystemError
 */
export async function lock(fd: number, o: Abortable & { kind?: LockKind } = {}): Promise<void> {
  const kind = o.kind ?? 'exclusive';
  throwIfAborted(o.signal);
  for (let ms = 1; !tryLock(fd, kind); ms = Math.min(ms * 2, LONGEST_PAUSE_MS)) await pause(ms, o);
}

/**
 * The processes, this one included, that have a file open, as far as this one may see: those of other users
 * only as root, those of other containers only from outside of them. A file that is absent is held by nobody.
 */
export function holdersOf(path: string): readonly number[] {
  const wanted = identityOf(path);
  if (wanted === undefined) return [];
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return processes.filter((id) => holds(`/proc/${id}/fd`, wanted)).map(Number);
}

function holds(directory: string, wanted: string): boolean {
  let descriptors: readonly string[];
  try {
    descriptors = readdirSync(directory);
  } catch {
    // It has ended, or is not ours to look at.
    return false;
  }
  return descriptors.some((name) => {
    const link = `${directory}/${name}`;
    return isFile(link) && identityOf(link) === wanted;
  });
}

/** Sockets and pipes are most of what there is, and have no path. */
function isFile(link: string): boolean {
  try {
    return readlinkSync(link).startsWith('/');
  } catch {
    return false;
  }
}

function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}
