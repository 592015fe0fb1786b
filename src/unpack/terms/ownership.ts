import { LandfallError, UnpackError } from '../../errors.js';
import { canChangeOwners } from '../../system/index.js';

/** A range of IDs as an archive has them, and the IDs that they become. */
export interface IdRange {
  /** The first ID, as the archive has it. */
  readonly container: number;
  /** What that becomes. */
  readonly host: number;
  /** How many. */
  readonly size: number;
}

/** `preserve` keeps the number that the archive names, `caller` takes who runs this, ranges translate. */
export type OwnerRule = 'preserve' | 'caller' | readonly IdRange[];

/** What becomes of the owners that an archive names. */
export interface Ownership {
  /** For users. */
  readonly uid: OwnerRule;
  /** For groups. */
  readonly gid: OwnerRule;
}

export const PRESERVED: Ownership = { uid: 'preserve', gid: 'preserve' };
export const CALLERS: Ownership = { uid: 'caller', gid: 'caller' };

/** As the image names them where this process can give files to others, else all to who runs this. */
export function defaultOwnership(): Ownership {
  return canChangeOwners() ? PRESERVED : CALLERS;
}

/** Tells chown(2) to leave an owner as it is: the caller's, for what was just made. */
export const UNCHANGED = 0xffff_ffff;
const MAX_ID = 0xffff_fffe;

/** As chown(2) takes it. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Whether anything has to be done to what the caller made. */
export function changesOwner({ uid, gid }: Ownership): boolean {
  return uid !== 'caller' || gid !== 'caller';
}

/**
 * The owner that something gets, fit for chown(2).
 *
 * @throws {UnpackError} INVALID_CONFIG for one that the ranges leave out
 */
export function ownerOf(ownership: Ownership, owner: Owner): Owner {
  return {
    uid: mapped(ownership.uid, owner.uid, 'user'),
    gid: mapped(ownership.gid, owner.gid, 'group'),
  };
}

function mapped(rule: OwnerRule, id: number, what: 'user' | 'group'): number {
  if (rule === 'preserve') return id;
  if (rule === 'caller') return UNCHANGED;
  for (const { container, host, size } of rule) {
    if (id >= container && id < container + size) return host + (id - container);
  }
  throw new UnpackError('INVALID_CONFIG', `${what} ${id} is in no range that ${what}s are mapped by`, {
    hint: 'Map a larger range, or none at all, so that everything belongs to who unpacks.',
  });
}

/**
 * Holds ranges against each other.
 *
 * @throws {LandfallError} INVALID_CONFIG where one is empty or leaves the 32 bits of an ID, or two overlap
 */
export function checkIdRanges(ranges: readonly IdRange[]): void {
  for (const { container, host, size } of ranges) {
    const whole = [container, host, size].every((id) => Number.isSafeInteger(id) && id >= 0);
    if (!whole || size < 1 || container + size - 1 > MAX_ID || host + size - 1 > MAX_ID) {
      throw badRange(`${container}:${host}:${size} is no range of IDs`);
    }
  }
  for (const side of ['container', 'host'] as const) {
    const sorted = [...ranges].sort((a, b) => a[side] - b[side]);
    for (const [i, range] of sorted.entries()) {
      const before = sorted[i - 1];
      if (before !== undefined && before[side] + before.size > range[side]) {
        throw badRange(`two ranges overlap at the ${side}'s ID ${range[side]}`);
      }
    }
  }
}

function badRange(message: string): LandfallError {
  return new LandfallError('INVALID_CONFIG', message, {
    hint: 'Write CONTAINER:HOST:SIZE, for example 0:100000:65536.',
  });
}
