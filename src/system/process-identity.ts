import { readFileSync, readlinkSync } from 'node:fs';

/**
 * Which process this is, for others to find out whether it still lives: its number, when it began, in which boot of the
 * machine and in which pid namespace. Empty where /proc does not tell.
 */
export function processIdentity(): string {
  const started = startOf(process.pid);
  const place = placeHere();
  return started === undefined || place === undefined ? '' : `${place} ${process.pid} ${started}`;
}

/**
 * Whether the process with an identity is gone for sure. Of one in another pid namespace, or on another machine, nothing is
 * known.
 */
export function isDead(identity: string): boolean {
  const [boot, namespace, pid, started] = identity.split(' ');
  if (boot === undefined || namespace === undefined || pid === undefined || started === undefined)
    return false;
  return `${boot} ${namespace}` === placeHere() && startOf(Number(pid)) !== started;
}

/** When a process began, in ticks since the boot (proc_pid_stat(5), field 22); undefined where there is none. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, which may hold anything, ends with the last bracket; a zombie has ended.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

let place: string | undefined;

function placeHere(): string | undefined {
  try {
    place ??= `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    // Without /proc nobody can tell who lives.
  }
  return place;
}
