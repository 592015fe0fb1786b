import { Argument, type Command } from 'commander';
import { addExamples } from './options.js';
import type { RunCommand } from './run-command.js';

/** The shells that words are completed in. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** The command by which shells learn to complete landfall's words. */
export function addCompletionCommands(program: Command, run: RunCommand): void {
  const command = program
    .command('completion')
    .summary('print the script by which a shell completes words')
    .description(
      'Prints the script by which a shell completes commands, options, their values, files and the images of the store when Tab is pressed.',
    )
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action((shell: Shell) =>
      run(async (context) => (await import('./commands/completion.js')).completionCommand(shell, context)),
    );
  addExamples(command, [
    'landfall completion bash > ~/.local/share/bash-completion/completions/landfall',
    'landfall completion zsh > /usr/local/share/zsh/site-functions/_landfall',
    'landfall completion fish > ~/.config/fish/completions/landfall.fish',
  ]);
}
