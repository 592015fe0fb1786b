import { readFileSync } from 'node:fs';

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

/** Whether files can be given to other users: root can, but not in a user namespace that has no other users. */
export function canChangeOwners(): boolean {
  return process.geteuid?.() === 0 && mappedUsers() > 1;
}
