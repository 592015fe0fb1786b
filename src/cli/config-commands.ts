import { Argument, type Command } from 'commander';
import type { ConfigFlags } from './commands/config.js';
import { addExamples } from './options.js';
import type { RunCommand } from './run-command.js';

/** The command that tells what holds, and why. */
export function addConfigCommands(program: Command, run: RunCommand): void {
  const command = program
    .command('config')
    .summary('show which settings hold, and where each comes from')
    .description(
      'Shows the value of each setting and where it comes from: an option, a variable of the environment, a line of a configuration file, or the default.',
    )
    .addArgument(new Argument('[key...]', 'only these: root, pull.platform, or pull for all of its table'))
    .option('--files', 'show instead which configuration files are looked for, and what of them is there')
    .option('--template', 'print instead a configuration file with all keys, each as a comment')
    .option('-q, --quiet', 'print only the values')
    .action((keys: string[], flags: ConfigFlags) =>
      run(async (context) =>
        (await import('./commands/config.js')).configCommand(keys, flags, { program, context }),
      ),
    );
  addExamples(command, [
    'landfall config',
    'landfall config root hosts-dir unpack-limit',
    'landfall config --files',
    'landfall config --template',
  ]);
}
