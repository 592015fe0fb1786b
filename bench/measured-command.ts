/*
 * Runs one command to its end and tells what it took, as JSON on descriptor 3 (a {@link CommandUsage}). It is a process of
 * its own for each command, since the kernel adds up for a process what the children it waited for have used
 * (getrusage(2), RUSAGE_CHILDREN): exact however short they were, and with theirs. Its standard input is a pipe that
 * whoever started it holds open; when that ends, so does the command.
 *
 * Usage: node measured-command.js COMMAND [ARGUMENT …]
 */
import { spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import koffi from 'koffi';

/** What a command took. */
export interface CommandUsage {
  /** Its exit code; null where a signal ended it. */
  readonly code: number | null;
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /**
   * Of its largest process. Kernels that count what a process held before it became its program tell no less
   * than this process holds itself, some 45 MB.
   */
  readonly peakBytes: number;
}

const RESULT_FD = 3;
// struct rusage of getrusage(2) on 64-bit Linux: two struct timeval, of two longs each, and fourteen longs.
const RUSAGE_BYTES = 18 * 8;
const RUSAGE_CHILDREN = -1;

const getrusage: (who: number, usage: Buffer) => number = koffi
  .load(null)
  .func('getrusage', 'int', ['int', 'void *']);

function main(): void {
  const [command = '', ...args] = process.argv.slice(2);
  const begun = performance.now();
  // A process group of its own, so that all of a pipeline can be ended.
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'], detached: true });
  process.stdin.resume().once('close', () => endGroup(child.pid));
  child.once('error', (error) => {
    console.error(error.message);
    process.exit(127);
  });
  child.once('exit', (code) => {
    const wallSeconds = (performance.now() - begun) / 1000;
    const usage: CommandUsage = { code, wallSeconds, ...ofChildren() };
    writeSync(RESULT_FD, JSON.stringify(usage));
    process.exit(0);
  });
}

function ofChildren(): Pick<CommandUsage, 'cpuSeconds' | 'peakBytes'> {
  const usage = Buffer.alloc(RUSAGE_BYTES);
  if (getrusage(RUSAGE_CHILDREN, usage) !== 0) throw new Error('getrusage failed');
  const field = (index: number): number => Number(usage.readBigInt64LE(index * 8));
  const cpuSeconds = field(0) + field(2) + (field(1) + field(3)) / 1e6;
  return { cpuSeconds, peakBytes: field(4) * 1024 };
}

function endGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, 'SIGTERM');
  } catch {
    // It has ended.
  }
}

main();
