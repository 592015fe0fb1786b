import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import type { Sample } from './contract.js';
import { type DaemonUsage, daemonUsage } from './daemon-usage.js';
import { bound } from './bound-process.js';
import type { CommandUsage } from './measured-command.js';

const RUNNER = resolve(import.meta.dirname, 'measured-command.js');

export interface MeasureOptions {
  /** In addition to this process's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** The process of a daemon that works for the command: its share counts too. */
  readonly daemon?: number;
}

/** What a command took, and what it wrote to its standard output. */
export interface MeasuredCommand extends Sample {
  readonly stdout: string;
}

/**
 * Runs a command to its end. Time is counted from its start to its end; memory and processor time are those
 * of all its processes, in so far as each was waited for by the one that started it.
 *
 * @throws Error with what it said where it fails.
 */
export async function measureCommand(
  command: string,
  args: readonly string[],
  options: MeasureOptions = {},
): Promise<MeasuredCommand> {
  const { daemon } = options;
  const before = daemon === undefined ? undefined : await daemonUsage(daemon);
  const { usage, stdout } = await runMeasured(command, args, options.env ?? {});
  const after = daemon === undefined ? undefined : await daemonUsage(daemon);
  return { ...withDaemon(usage, before, after), stdout };
}

function withDaemon(
  command: CommandUsage,
  before: DaemonUsage | undefined,
  after: DaemonUsage | undefined,
): Sample {
  const { wallSeconds, cpuSeconds, peakBytes } = command;
  if (before === undefined || after === undefined) return { wallSeconds, cpuSeconds, peakBytes };
  return {
    wallSeconds,
    cpuSeconds: cpuSeconds + after.cpuSeconds - before.cpuSeconds,
    peakBytes: Math.max(peakBytes, after.peakBytes),
  };
}

async function runMeasured(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ usage: CommandUsage; stdout: string }> {
  const child = bound(
    spawn(process.execPath, [RUNNER, command, ...args], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    }),
  );
  const ended = once(child, 'close');
  const [stdout, stderr, result] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    text(child.stdio[3] as Readable),
    ended,
  ]);
  const usage = result === '' ? undefined : (JSON.parse(result) as CommandUsage);
  if (usage?.code !== 0) {
    const end = usage === undefined ? 'did not run' : `ended with ${usage.code ?? 'a signal'}`;
    throw new Error(`${command} ${args.join(' ')} ${end}:\n${stderr.trimEnd()}`);
  }
  return { usage, stdout };
}
