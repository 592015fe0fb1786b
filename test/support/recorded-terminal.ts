import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LANDFALL, runCommand } from './landfall-command.js';
import { record } from './secrets.js';

export interface RecordedTerminalOptions {
  readonly columns: number;
  readonly rows?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Written behind everything else, so that it is known when all has been recorded: twice a colour that is
 * none.
 */
const LAST = '\x1b[0;0m\x1b[0;0m';

/**
 * The built command in a terminal of tmux of its own: what a person sees, and each byte of it. The terminal
 * stays as it is when the command has ended.
 */
export class RecordedTerminal implements AsyncDisposable {
  readonly #directory: string;
  readonly #socket: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.#socket = `landfall-${randomUUID()}`;
  }

  /** Begins a command; its bytes are recorded from the first one on. */
  static async run(args: readonly string[], options: RecordedTerminalOptions): Promise<RecordedTerminal> {
    const terminal = new RecordedTerminal(await mkdtemp(join(tmpdir(), 'landfall-terminal-')));
    await terminal.#begin(args, options);
    return terminal;
  }

  async #begin(
    args: readonly string[],
    { columns, rows = 24, env = {} }: RecordedTerminalOptions,
  ): Promise<void> {
    const script = join(this.#directory, 'run.sh');
    const set = Object.entries(env).map(([name, value]) => `${name}=${quoted(value)}`);
    const command = [
      'env',
      '-u',
      'NO_COLOR',
      ...set,
      quoted(process.execPath),
      quoted(LANDFALL),
      ...args.map(quoted),
    ];
    await writeFile(
      script,
      [
        // What interrupts the command is not to end what reports its end.
        'trap : INT',
        `tmux -L ${this.#socket} wait-for begin`,
        command.join(' '),
        `echo $? >${quoted(this.#file('code'))}`,
        `printf '${LAST.replaceAll('\x1b', '\\033')}'`,
        'exec sleep 600',
      ].join('\n'),
    );
    const config = join(this.#directory, 'tmux.conf');
    await writeFile(
      config,
      'set -g status off\nset -g default-terminal tmux-256color\nset -g history-limit 5000\n',
    );
    const size = ['-x', String(columns), '-y', String(rows)];
    await this.#tmux('-f', config, 'new-session', '-d', '-s', 'pull', ...size, `sh ${quoted(script)}`);
    await this.#tmux('pipe-pane', '-t', 'pull', '-o', `cat >${quoted(this.#file('bytes'))}`);
    await this.#tmux('wait-for', '-S', 'begin');
  }

  /** What is to be seen, without empty rows at its end. */
  async capture(): Promise<string> {
    return (await this.#tmux('capture-pane', '-p', '-t', 'pull')).trimEnd();
  }

  /** That, and what has scrolled away before. */
  async captureAll(): Promise<string> {
    return (await this.#tmux('capture-pane', '-p', '-S', '-', '-t', 'pull')).trimEnd();
  }

  async isCursorShown(): Promise<boolean> {
    return (await this.#tmux('display-message', '-p', '-t', 'pull', '#{cursor_flag}')).trim() === '1';
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux('resize-window', '-t', 'pull', '-x', String(columns), '-y', String(rows));
  }

  /** `C-c` */
  async press(key: string): Promise<void> {
    await this.#tmux('send-keys', '-t', 'pull', key);
  }

  /** Looks until what is to be seen is as wanted. */
  async until(isWanted: (shown: string) => boolean): Promise<string> {
    for (const end = Date.now() + 45_000; ;) {
      const shown = await this.capture();
      if (isWanted(shown)) return shown;
      if (Date.now() > end) throw new Error(`it did not come to that:\n${shown}`);
      await sleep(30);
    }
  }

  /** Waits until the command has ended, and looks at what is to be seen all the time. */
  async ended(): Promise<{ readonly code: number; readonly captures: readonly string[] }> {
    const captures: string[] = [];
    for (const end = Date.now() + 90_000; ;) {
      const shown = await this.capture();
      if (shown !== captures.at(-1)) captures.push(shown);
      if ((await this.bytes()).includes(LAST)) break;
      if (Date.now() > end) throw new Error(`the command does not end:\n${shown}`);
      await sleep(20);
    }
    captures.push(await this.capture());
    record('what a terminal shows', await this.captureAll());
    return { code: Number(await readFile(this.#file('code'), 'utf8')), captures };
  }

  /** Each byte that the terminal was sent by now. */
  async bytes(): Promise<string> {
    try {
      return await readFile(this.#file('bytes'), 'utf8');
    } catch {
      return '';
    }
  }

  /** The same without what says that the command has ended. */
  async recorded(): Promise<string> {
    return (await this.bytes()).replace(LAST, '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux('kill-server').catch(() => undefined);
    await rm(this.#directory, { recursive: true, force: true });
  }

  #file(name: string): string {
    return join(this.#directory, name);
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const env = { TMUX_TMPDIR: this.#directory, TERM: 'xterm-256color', LANG: 'C.UTF-8' };
    const { code, stdout, stderr } = await runCommand('tmux', ['-u', '-L', this.#socket, ...args], { env });
    if (code !== 0) throw new Error(`tmux ${args.join(' ')}: ${stderr}`);
    return stdout;
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
