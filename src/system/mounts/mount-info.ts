import { readFileSync, realpathSync } from 'node:fs';
import { fromBytePath, toBytePath, type BytePath } from '../calls/libc.js';

/** One mount of this process's mount namespace (proc_pid_mountinfo(5)). */
export interface MountInfo {
  /** Where it is mounted. */
  target: string;
  /** The part of the file system that is mounted there. */
  root: string;
  /** Options of the mount: `ro`, `nosuid`, … */
  options: readonly string[];
  type: string;
  source: string;
  /** Options of the file system. */
  superOptions: readonly string[];
}

/** All mounts, in the kernel's order: of several at one target the last one is on top. */
export function readMountInfo(): MountInfo[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'latin1'));
}

/** The text of `/proc/<pid>/mountinfo`, as latin1. Lines that are not of its form are passed over. */
export function parseMountInfo(text: BytePath): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    // Optional fields stand between the sixth field and a lone hyphen.
    const hyphen = fields.indexOf('-', 6);
    const [root, target, options] = fields.slice(3, 6);
    const [type, source, superOptions] = hyphen < 0 ? [] : fields.slice(hyphen + 1);
    if (root === undefined || target === undefined || options === undefined || type === undefined) continue;
    mounts.push({
      target: unescape(target),
      root: unescape(root),
      options: options.split(','),
      type: unescape(type),
      source: unescape(source ?? ''),
      superOptions: (superOptions ?? '').split(','),
    });
  }
  return mounts;
}

/**
 * Whether something is mounted at this path. A symlink is resolved on the way to it but not as its last
 * component, since nothing can be mounted on one. False where the path does not exist.
 */
export function isMountPoint(path: string): boolean {
  let real: string;
  try {
    real = realpathSync(path);
  } catch {
    return false;
  }
  const wanted = fromBytePath(toBytePath(real));
  return readMountInfo().some((mount) => mount.target === wanted);
}

/** Space, tab, newline and backslash are written as three octal digits. */
function unescape(field: BytePath): string {
  return fromBytePath(
    field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8) & 0xff)),
  );
}
