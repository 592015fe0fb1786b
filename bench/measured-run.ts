import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';

const POLL_MS = 50;

/** What a process took from its start to its end. */
export interface MeasuredRun {
  readonly milliseconds: number;
  /** The most memory that it ever held (VmHWM), in bytes. Read every 50 ms, so its last moment may be missed. */
  readonly peakBytes: number;
  /** Processor time, its own and the kernel's for it; read in the same way. */
  readonly cpuMilliseconds: number;
}

/** Runs a command to its end; what it answers is not kept. Throws where it fails. */
export async function measuredRun(command: string, args: readonly string[]): Promise<MeasuredRun> {
  const begun = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  let peakBytes = 0;
  let cpuMilliseconds = 0;
  const timer = setInterval(() => {
    void highWater(child).then((bytes) => (peakBytes = Math.max(peakBytes, bytes)));
    void processorTime(child).then((spent) => (cpuMilliseconds = Math.max(cpuMilliseconds, spent)));
  }, POLL_MS);
  const [code] = (await once(child, 'exit')) as [number | null];
  const milliseconds = performance.now() - begun;
  clearInterval(timer);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code ?? 'a signal'}`);
  return { milliseconds, peakBytes, cpuMilliseconds };
}

async function highWater({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid ?? 0}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

/** Fields 14 and 15 of /proc/PID/stat (proc(5)), in ticks of which Linux shows 100 a second. */
async function processorTime({ pid }: ChildProcess): Promise<number> {
  const text = await readFile(`/proc/${pid ?? 0}/stat`, 'utf8').catch(() => '');
  // The name of the program, in parentheses, may hold blanks.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10;
}
