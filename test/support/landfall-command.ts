import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';

import { record } from './secrets.js';

/** For the environment of the command: what configuration this machine has does not reach it. */
export const NO_CONFIG: Readonly<Record<string, string>> = { LANDFALL_CONFIG: '/dev/null' };

/** What a command finds in its environment: no user's configuration reaches it. */
export const COMMAND_ENVIRONMENT: Readonly<Record<string, string>> = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  TZ: 'UTC',
  LC_ALL: 'C.UTF-8',
  ...NO_CONFIG,
};

/** The built command, as a user runs it. */
export const LANDFALL: string = resolve(import.meta.dirname, '../../dist/bin/landfall.js');

export interface CommandResult {
  /** The exit status; undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly cwd?: string;
  /** Called with the running child, to send it signals. */
  readonly onStart?: (child: ChildProcess) => void;
}

/** Runs the built command with its own environment: no user's configuration reaches it. */
export function landfall(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return runCommand(process.execPath, [LANDFALL, ...args], options);
}

/**
 * Runs the built command and parses what it answers on standard output; throws what it said when it fails.
 */
export async function landfallJson<T>(args: readonly string[], options: CommandOptions = {}): Promise<T> {
  const result = await landfall([...args, '--output', 'json'], options);
  if (result.code !== 0)
    throw new Error(`landfall ${args.join(' ')} failed (${result.code}):\n${result.stderr}`);
  return JSON.parse(result.stdout) as T;
}

/** Runs a peer and gives its standard output; throws what it said when it fails. */
export async function peerOutput(command: string, args: readonly string[]): Promise<string> {
  const result = await runCommand(command, args, {});
  if (result.code !== 0) {
    throw new Error(
      `${command} ${args.join(' ')} failed (${result.code ?? result.signal}):\n${result.stderr}`,
    );
  }
  return result.stdout;
}

/** Runs a command to its end. What landfall says is searched for secrets. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  return new Promise((onExit, onError) => {
    const child = spawn(command, args, {
      env: { ...COMMAND_ENVIRONMENT, ...options.env },
      cwd: options.cwd,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', onError);
    child.on('close', (code, signal) => {
      const said = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
      if ([command, ...args].some((arg) => arg.includes(LANDFALL))) {
        record('standard output of landfall', said.stdout);
        record('standard error of landfall', said.stderr);
      }
      onExit({ code: code ?? undefined, signal: signal ?? undefined, ...said });
    });
    // A command that ends without reading its input is no fault.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    options.onStart?.(child);
  });
}
