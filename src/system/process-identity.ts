import { randomUUID } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { systemCode } from '../errors.js';

/**
 * Which process this is, for others to find out whether it still lives: its number, when it began, in which
 * boot of the machine and in which pid namespace. Empty where /proc does not tell.
 */
export function processIdentity(): string {
  const started = startOf(process.pid);
  const place = placeHere();
  return started === undefined || place === undefined ? '' : `${place} ${process.pid} ${started}`;
}

/**
 * Whether the process with an identity is gone for sure. Of one in another pid namespace, or on another
 * machine, nothing is known.
 */
export function isDead(identity: string): boolean {
  const [boot, namespace, pid, started] = identity.split(' ');
  if (boot === undefined || namespace === undefined || pid === undefined || started === undefined)
    return false;
  if (`${boot} ${namespace}` !== placeHere()) return false;
  const now = startOf(Number(pid));
  // What /proc does not show may be hidden from this user, and live.
  return now === undefined ? !exists(Number(pid)) : now !== started;
}

/**
 * When a process began, in ticks since the boot (proc_pid_stat(5), field 22); undefined where nothing can be
 * read of it.
 */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, which may hold anything, ends with the last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    return state === 'Z' || state === 'X' ? 'ended' : fields[19];
  } catch {
    return undefined;
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) !== 'ESRCH';
  }
}

let place: string | undefined;

function placeHere(): string | undefined {
  try {
    const boot = readBootId();
    if (boot !== undefined) place ??= `${boot} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    // Without /proc nobody can tell who lives.
  }
  return place;
}

let boot: string | undefined;

/**
 * Which boot of the machine this is (random(4), boot_id): what a power cut can take is what was written in an
 * earlier one. Where the kernel does not tell, it is an ID that no other process has.
 */
export function bootId(): string {
  boot ??= readBootId() ?? randomUUID();
  return boot;
}

/** Undefined where /proc does not tell. */
export function readBootId(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return undefined;
  }
}

/** All IDs but -1, which is none. */
const ALL_IDS = 2 ** 32 - 1;

/** How many user IDs this process' user namespace has; where the kernel does not tell, all. */
function mappedUsers(): number {
  let map: string;
  try {
    map = readFileSync('/proc/self/uid_map', 'utf8');
  } catch {
    return ALL_IDS;
  }
  const sizes = map.split('\n').map((line) => Number(line.trim().split(/\s+/)[2] ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Whether this process lives in another user namespace than the first; that one has all IDs. */
export function inUserNamespace(): boolean {
  return mappedUsers() !== ALL_IDS;
}

/**
 * Whether files can be given to other users: root can, but not in a user namespace that has no other users.
 */
export function canChangeOwners(): boolean {
  return process.geteuid?.() === 0 && mappedUsers() > 1;
}
