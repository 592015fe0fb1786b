import { pause } from '../concurrency/index.js';
import { throwIfAborted, type Abortable } from '../errors.js';
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
 * Takes an flock(2) on an open file without waiting; false where another open file description holds it. The lock
 * goes with the last descriptor that is closed, a crash included. Taking it again as the other kind converts it.
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
 * Waits for an flock. It polls with growing pauses: a blocking flock would hold a thread of the pool that nothing
 * can take out of it again.
 *
 * @throws LandfallError ABORTED, SystemError
 */
export async function lock(fd: number, o: Abortable & { kind?: LockKind } = {}): Promise<void> {
  const kind = o.kind ?? 'exclusive';
  throwIfAborted(o.signal);
  for (let ms = 1; !tryLock(fd, kind); ms = Math.min(ms * 2, LONGEST_PAUSE_MS)) await pause(ms, o);
}
