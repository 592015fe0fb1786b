import { readdirSync, readlinkSync, statSync } from 'node:fs';

/**
 * The processes, this one included, that have a file open, as far as this one may see: those of other users only as root,
 * those of other containers only from outside of them. A file that is absent is held by nobody.
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
