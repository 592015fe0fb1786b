import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('store-process.js', import.meta.url));

/** A process that works on a store; see store-process.js for its commands. */
export class StoreProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;
  #errors = '';

  constructor(args: readonly string[], wrapper: readonly string[] = []) {
    const [file = '', ...rest] = [...wrapper, process.execPath, SCRIPT, ...args];
    this.#child = spawn(file, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    const { stdout, stderr } = this.#child;
    if (stdout === null || stderr === null) throw new Error('the process has no output');
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    stderr.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    this.#ended = once(this.#child, 'close');
  }

  /** The next thing it says. */
  async said(): Promise<unknown> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`the process said nothing more: ${this.#errors}`);
    return JSON.parse(line.value) as unknown;
  }

  go(): void {
    this.#child.stdin?.write('go\n');
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** Waits until it has ended by itself, and gives its exit status. */
  async ended(): Promise<number | null> {
    await this.#ended;
    return this.#child.exitCode;
  }
}
