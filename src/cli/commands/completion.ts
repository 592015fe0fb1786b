import type { CommandContext, CommandResult } from '../command-context.js';
import { BASH_SCRIPT } from '../completion/bash-script.js';
import { FISH_SCRIPT } from '../completion/fish-script.js';
import { ZSH_SCRIPT } from '../completion/zsh-script.js';
import type { Shell } from '../completion-commands.js';

const SCRIPTS: Readonly<Record<Shell, string>> = { bash: BASH_SCRIPT, zsh: ZSH_SCRIPT, fish: FISH_SCRIPT };

/** In no other form, whatever a configuration file says: a shell is to read it. */
export function completionCommand(shell: Shell, { stdout }: CommandContext): CommandResult {
  stdout.write(SCRIPTS[shell]);
  return Promise.resolve(0);
}
