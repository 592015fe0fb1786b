import { cString, libc, systemError } from './libc.js';
import {
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
} from './mount-api.js';
import { readMountInfo } from './mount-info.js';
import { toBytePath } from './byte-path.js';

export const MS_REMOUNT = 32;
export const MS_BIND = 4096;
export const MS_REC = 16384;

interface Attribute {
  /** As the new mount API and `mount -o` call it. */
  readonly attribute: number;
  readonly option: string;
  /** As mount(2) calls it. */
  readonly flag: number;
}

const ATTRIBUTES: readonly Attribute[] = [
  { option: 'ro', attribute: MOUNT_ATTR_RDONLY, flag: 1 },
  { option: 'nosuid', attribute: MOUNT_ATTR_NOSUID, flag: 2 },
  { option: 'nodev', attribute: MOUNT_ATTR_NODEV, flag: 4 },
  { option: 'noexec', attribute: MOUNT_ATTR_NOEXEC, flag: 8 },
  { option: 'noatime', attribute: MOUNT_ATTR_NOATIME, flag: 1024 },
  { option: 'nodiratime', attribute: MOUNT_ATTR_NODIRATIME, flag: 2048 },
  { option: 'strictatime', attribute: MOUNT_ATTR_STRICTATIME, flag: 2 ** 24 },
];

/** The MOUNT_ATTR_* of an option of `mount -o`, or undefined. */
export function attributeOf(option: string): number | undefined {
  return ATTRIBUTES.find((known) => known.option === option)?.attribute;
}

/** MOUNT_ATTR_* as the flags of mount(2). */
export function mountFlags(attributes: number): number {
  return ATTRIBUTES.reduce(
    (sum, { attribute, flag }) => ((attributes & attribute) === 0 ? sum : sum | flag),
    0,
  );
}

/**
 * The MOUNT_ATTR_* of the mount at this path. A remount must repeat them: it would clear them, and in a user
 * namespace those that came from outside may not be cleared.
 */
export function attributesOfMount(target: string): number {
  const options = readMountInfo().findLast((mount) => mount.target === target)?.options ?? [];
  return options.reduce((sum, option) => sum | (attributeOf(option) ?? 0), 0);
}

/** mount(2). Paths are ordinary strings; `options` is what the file system itself takes, less than a page. */
export function mount2(
  source: string | undefined,
  target: string,
  type: string | undefined,
  flags: number,
  options?: string,
): void {
  const text = (value: string | undefined): Buffer | null =>
    value === undefined ? null : cString(toBytePath(value));
  if (libc().mount(text(source), text(target), text(type), flags, text(options)) < 0) {
    throw systemError('mount', toBytePath(target));
  }
}
