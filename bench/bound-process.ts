import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';

const running = new Set<ChildProcess>();
const END_MS = 10_000;

/** Binds a process to the life of this one: it is ended when this one ends, and by {@link endAll}. */
export function bound<T extends ChildProcess>(child: T): T {
  if (running.size === 0) process.once('exit', killAll);
  running.add(child);
  const forget = (): void => {
    running.delete(child);
    if (running.size === 0) process.off('exit', killAll);
  };
  child.once('exit', forget);
  child.once('error', forget);
  return child;
}

/** Asks all processes that are still bound to end. */
export function endAll(): void {
  for (const child of running) child.kill('SIGTERM');
}

function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Ends a process and waits for that; one that does not heed SIGTERM is killed after ten seconds. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await exited;
  clearTimeout(killer);
}

/** What a command prints, at most 64 MiB. Throws what it said where it fails. */
export async function output(command: string, args: readonly string[]): Promise<string> {
  const started = promisify(execFile)(command, args, { maxBuffer: 64 << 20 });
  bound(started.child);
  return (await started).stdout;
}

/**
 * What a command writes, as it comes; it reads `input`, or nothing. The stream fails where the command does,
 * or where its input does; when it is destroyed, the command is ended.
 */
export function outputOf(command: string, args: readonly string[], input?: Readable): Readable {
  const child = bound(spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
  const written = new PassThrough();
  // It may fail before anybody reads it, who then finds that it has.
  written.on('error', () => undefined);
  child.stdout.pipe(written, { end: false });
  child.once('error', (error) => written.destroy(error));
  child.once('close', (code) => {
    if (code === 0) written.end();
    else written.destroy(new Error(`${command} ${args.join(' ')} ended with ${code ?? 'a signal'}`));
  });
  written.once('close', () => child.kill());
  if (input === undefined) child.stdin.end();
  else pipeline(input, child.stdin).catch((error: unknown) => written.destroy(error as Error));
  return written;
}
