import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LANDFALL, peerOutput } from './landfall-command.js';

export type InteractiveShell = 'bash' | 'zsh' | 'fish';

const PROMPT = '$';

/** How each is begun without anybody's own settings, and taught to complete landfall's words. */
const SHELLS: Readonly<Record<InteractiveShell, { readonly command: string; readonly setUp: string }>> = {
  bash: {
    command: 'bash --norc --noprofile -i',
    setUp: `PS1='${PROMPT} '; source <(landfall completion bash); clear`,
  },
  zsh: {
    command: 'zsh -f -i',
    setUp: `PS1='${PROMPT} '; autoload -U compinit; compinit -u -D; source <(landfall completion zsh); clear`,
  },
  fish: {
    command: 'fish --no-config -i',
    setUp: `function fish_prompt; printf '${PROMPT} '; end; landfall completion fish | source; clear`,
  },
};

/**
 * A shell in a terminal of tmux of its own, in which keys are pressed. `landfall` there is the built command.
 */
export class ShellTerminal implements AsyncDisposable {
  readonly #directory: string;
  readonly #socket = `landfall-${randomUUID()}`;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** @param env what the shell has in its environment, beside a home directory that is empty */
  static async open(
    shell: InteractiveShell,
    { cwd, env = {} }: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
  ): Promise<ShellTerminal> {
    const terminal = new ShellTerminal(await mkdtemp(join(tmpdir(), 'landfall-shell-')));
    const home = terminal.#directory;
    await symlink(LANDFALL, join(home, 'landfall'));
    const all = {
      HOME: home,
      PATH: [home, dirname(process.execPath), process.env['PATH'] ?? ''].join(delimiter),
      TERM: 'screen',
      LC_ALL: 'C.UTF-8',
      ...env,
    };
    const set = Object.entries(all).map(([name, value]) => `'${name}=${value}'`);
    const { command, setUp } = SHELLS[shell];
    const size = ['-x', '100', '-y', '60'];
    await terminal.#tmux(
      '-f',
      '/dev/null',
      'new-session',
      '-d',
      ...size,
      '-c',
      cwd,
      `env -i ${set.join(' ')} ${command}`,
    );
    await terminal.run(setUp);
    return terminal;
  }

  /** Runs a line that prints nothing. */
  async run(line: string): Promise<void> {
    await this.#type(`${line}; clear`);
    await this.#press('Enter');
    await this.until((shown) => shown === PROMPT);
  }

  /** Types the beginning of a line on an empty one, then presses Tab so many times. */
  async complete(typed: string, tabs = 1): Promise<void> {
    await this.#press('C-u');
    await this.#type(typed);
    for (let pressed = 0; pressed < tabs; pressed += 1) await this.#press('Tab');
  }

  /** Waits until the line is as wanted; a blank at its end is not seen. */
  async showsLine(wanted: string): Promise<void> {
    await this.until((shown) => shown.split('\n').at(-1) === `${PROMPT} ${wanted}`);
  }

  /** Looks until what is to be seen is as wanted. */
  async until(isWanted: (shown: string) => boolean): Promise<string> {
    for (const end = Date.now() + 45_000; ;) {
      const shown = (await this.#tmux('capture-pane', '-p')).trimEnd();
      if (isWanted(shown)) return shown;
      if (Date.now() > end) throw new Error(`it did not come to that:\n${shown}`);
      await sleep(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux('kill-server');
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #type(text: string): Promise<void> {
    await this.#tmux('send-keys', '-l', text);
  }

  async #press(key: string): Promise<void> {
    await this.#tmux('send-keys', key);
  }

  #tmux(...args: string[]): Promise<string> {
    return peerOutput('tmux', ['-L', this.#socket, ...args]);
  }
}
