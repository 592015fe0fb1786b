import { readFile } from 'node:fs/promises';

/** What a process and its children that have ended took since it began. */
export interface DaemonUsage {
  readonly cpuSeconds: number;
  /** The most memory that the process itself ever held. */
  readonly peakBytes: number;
}

// What /proc shows is in hundredths of a second on every architecture (USER_HZ).
const TICKS_PER_SECOND = 100;

/** Reads /proc/PID of a process that runs. Children count once it has waited for them. */
export async function daemonUsage(pid: number): Promise<DaemonUsage> {
  const [stat, status] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'utf8'),
    readFile(`/proc/${pid}/status`, 'utf8'),
  ]);
  return { cpuSeconds: parseCpuSeconds(stat), peakBytes: parsePeakBytes(status) };
}

/** The sum of utime, stime, cutime and cstime, fields 14 to 17 of /proc/PID/stat (proc_pid_stat(5)). */
export function parseCpuSeconds(stat: string): number {
  // The second field is the program's name in parentheses, which may hold blanks and parentheses; the third
  // follows it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = fields.slice(11, 15).map(Number);
  if (ticks.length !== 4 || ticks.some(Number.isNaN)) throw new Error(`not of /proc/PID/stat: ${stat}`);
  return ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_SECOND;
}

/** VmHWM of /proc/PID/status (proc_pid_status(5)). */
export function parsePeakBytes(status: string): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kib === undefined) throw new Error('no VmHWM in /proc/PID/status');
  return Number(kib) * 1024;
}
