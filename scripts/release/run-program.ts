import { spawn } from 'node:child_process';

export interface RunOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /**
   * What it prints goes to this program's own output rather than to the caller; by default it is given back.
   */
  readonly show?: boolean;
  /** Its exit status is the caller's to judge from what it prints. */
  readonly mayFail?: boolean;
}

/** Runs a program to its end and gives what it printed. @throws Error with what it said, where it fails */
export type RunProgram = (program: string, args: readonly string[], options: RunOptions) => Promise<string>;

export const runProgram: RunProgram = (program, args, { cwd, env, show = false, mayFail = false }) =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: show ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    });
    const printed: Buffer[] = [];
    const complained: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => printed.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => complained.push(chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0 || mayFail) {
        resolve(Buffer.concat(printed).toString());
        return;
      }
      const how = code === null ? `ended by ${String(signal)}` : `failed with ${code}`;
      const said = Buffer.concat(complained).toString().trim();
      reject(new Error([`${program} ${args.join(' ')} ${how}`, ...(said === '' ? [] : [said])].join('\n')));
    });
  });
