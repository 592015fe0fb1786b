import { checkIdRanges, defaultOwnership, type Ownership } from '../unpack/index.js';
import type { IdMapFlags } from './id-map.js';

/**
 * What the options ask for; where one is absent, its owners are what they are without any.
 *
 * @throws {LandfallError} INVALID_CONFIG for ranges that are none, or overlap
 */
export function ownershipOf({ uidMap, gidMap }: IdMapFlags): Ownership {
  checkIdRanges(uidMap ?? []);
  checkIdRanges(gidMap ?? []);
  const { uid, gid } = defaultOwnership();
  return { uid: uidMap ?? uid, gid: gidMap ?? gid };
}
