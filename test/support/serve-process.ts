import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';

import { LANDFALL, NO_CONFIG } from './landfall-command.js';
import { record } from './secrets.js';

/** `landfall serve` as a process of its own, on a free port of 127.0.0.1. */
export class ServeProcess implements AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #said: string[];

  private constructor(
    child: ChildProcessByStdio<null, Readable, Readable>,
    { url, port, said }: { url: string; port: number; said: string[] },
  ) {
    this.#child = child;
    this.url = url;
    this.port = port;
    this.#said = said;
  }

  /** @param args what stands after `landfall`: global options, `serve` and its own */
  static async start(args: readonly string[]): Promise<ServeProcess> {
    const child = spawn(
      process.execPath,
      [LANDFALL, ...args, '--listen', '127.0.0.1:0', '--output', 'json'],
      {
        env: {
          PATH: process.env['PATH'] ?? '',
          HOME: '/nonexistent',
          TZ: 'UTC',
          LC_ALL: 'C.UTF-8',
          ...NO_CONFIG,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const killAtExit = (): void => void child.kill('SIGKILL');
    process.on('exit', killAtExit);
    child.once('exit', () => process.off('exit', killAtExit));
    const said: string[] = [];
    child.stderr.on('data', (chunk: Buffer) => {
      record('what serve says', chunk.toString());
      said.push(chunk.toString());
    });
    let answer = '';
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      answer += String(chunk);
      if (!answer.endsWith('}\n')) continue;
      const { url, port } = JSON.parse(answer) as { url: string; port: number };
      return new ServeProcess(child, { url, port, said });
    }
    throw new Error(`landfall ${args.join(' ')} ended at once:\n${said.join('')}`);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What it has said on standard error. */
  get log(): string {
    return this.#said.join('');
  }

  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
