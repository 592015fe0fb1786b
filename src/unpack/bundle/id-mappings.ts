import type { IdRange } from '../ownership.js';
import type { RuntimeIdMapping, RuntimeUser } from './runtime-config.js';

/** The IDs of a container's user namespace; neither list is empty. */
export interface IdMappings {
  readonly uid: readonly IdRange[];
  readonly gid: readonly IdRange[];
}

/** The one user and the one group that anybody may map, to root: whoever runs this. */
export function callersMappings(): IdMappings {
  const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  return { uid: [{ container: 0, host: uid, size: 1 }], gid: [{ container: 0, host: gid, size: 1 }] };
}

export function hasId(ranges: readonly IdRange[], id: number): boolean {
  return ranges.some(({ container, size }) => id >= container && id < container + size);
}

/** What of a container's user its user namespace has no IDs for, in words; no runtime can start it so. */
export function unmappedIds(
  { uid, gid, additionalGids = [] }: RuntimeUser,
  { uid: users, gid: groups }: IdMappings,
): string[] {
  return [
    ...(hasId(users, uid) ? [] : [`user ${uid}`]),
    ...[...new Set([gid, ...additionalGids])].filter((id) => !hasId(groups, id)).map((id) => `group ${id}`),
  ];
}

export function toRuntimeMappings(ranges: readonly IdRange[]): RuntimeIdMapping[] {
  return ranges.map(({ container, host, size }) => ({ containerID: container, hostID: host, size }));
}
