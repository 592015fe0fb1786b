import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';

import type { Abortable } from '../src/errors.js';

/** The project's folder: this file runs from dist/scripts/. */
export const PROJECT: string = join(import.meta.dirname, '..', '..');
const COMMAND = join(PROJECT, 'dist', 'bin', 'landfall.js');

/** A landfall command that failed; it has said on standard error why. */
export class CommandFailed extends Error {
  readonly exitCode: number;

  constructor(args: readonly string[], exitCode: number) {
    super(`landfall ${args.join(' ')} ended with exit code ${exitCode}`);
    this.name = 'CommandFailed';
    this.exitCode = exitCode;
  }
}

/** Runs the built command as a person would see it: its progress and its answer go where ours go. */
export async function runShown(args: readonly string[], o: Abortable): Promise<void> {
  await ended(start(args, ['ignore', 'inherit', 'inherit'], o), args);
}

/** Runs the built command for its answer. */
export async function runForJson(args: readonly string[], o: Abortable): Promise<unknown> {
  const child = start(args, ['ignore', 'pipe', 'inherit'], o);
  const [answer] = await Promise.all([child.stdout === null ? '' : text(child.stdout), ended(child, args)]);
  return JSON.parse(answer) as unknown;
}

/** A registry that serves until it is disposed of. */
export interface EmbeddedRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string;
}

/** Starts `landfall serve` on a free port and waits until it says where it listens. */
export async function startRegistry(source: string, o: Abortable): Promise<EmbeddedRegistry> {
  const args = ['serve', source, '--listen', '127.0.0.1:0', '--log-level', 'warn'];
  const child = start(args, ['ignore', 'pipe', 'pipe'], o);
  let wanted = true;
  // That it was told to end is not worth a message.
  child.stderr?.on(
    'data',
    (chunk: Buffer) => wanted && o.signal?.aborted !== true && process.stderr.write(chunk),
  );
  const exit = ended(child, args);
  // Awaited below and when disposed of; in between nobody listens.
  exit.catch(() => undefined);
  const host = await Promise.race([addressOf(child), exit.then(() => undefined)]);
  if (host === undefined) throw new Error('landfall serve ended before it listened');
  return {
    host,
    [Symbol.asyncDispose]: async () => {
      wanted = false;
      child.kill('SIGTERM');
      await exit.catch(() => undefined);
    },
  };
}

async function addressOf(child: ChildProcess): Promise<string | undefined> {
  if (child.stdout === null) return undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const host = / at http:\/\/(\S+)$/.exec(line)?.[1];
    if (host !== undefined) return host;
  }
  return undefined;
}

function start(args: readonly string[], stdio: StdioOptions, { signal }: Abortable): ChildProcess {
  const child = spawn(process.execPath, [COMMAND, ...args], { cwd: PROJECT, stdio });
  const stop = (): void => void child.kill('SIGTERM');
  if (signal?.aborted === true) stop();
  signal?.addEventListener('abort', stop);
  child.once('close', () => signal?.removeEventListener('abort', stop));
  return child;
}

/** Resolves when the process is gone, so that nothing writes any more where the caller is about to remove. */
async function ended(child: ChildProcess, args: readonly string[]): Promise<void> {
  const [exitCode] = (await once(child, 'close')) as [number | null];
  if (exitCode !== 0) throw new CommandFailed(args, exitCode ?? 1);
}
