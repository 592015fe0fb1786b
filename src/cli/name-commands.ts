import { Argument, type Command } from 'commander';
import { addExamples } from './options.js';
import type { RunCommand } from './run-command.js';

/** The commands that give names to images, take them away, or hold on to them. */
export function addNameCommands(program: Command, run: RunCommand): void {
  for (const add of [addTag, addRmi, addPin, addUnpin]) add(program, run);
}

function addTag(program: Command, run: RunCommand): void {
  const command = program
    .command('tag')
    .summary('give an image one more name')
    .description(
      'Gives an image of the store one more name, or moves a name to it; with docker://, gives an image at a registry one more tag.',
    )
    .addArgument(new Argument('<source>', 'an image of the store, or docker://REF'))
    .addArgument(new Argument('<name>', 'the new name; at a registry the new tag alone'))
    .action((source: string, name: string) =>
      run(async (context) => (await import('./commands/tag.js')).tagCommand(source, name, context)),
    );
  addExamples(command, [
    'landfall tag debian:trixie registry.lan:5000/base:1',
    'landfall tag docker://registry.lan:5000/team/app:1.2.3 stable',
  ]);
}

function addRmi(program: Command, run: RunCommand): void {
  const command = program
    .command('rmi')
    .summary('remove images')
    .description('Removes names from the store, pinned ones too, and frees what no other image needs.')
    .addArgument(new Argument('<name...>', 'images of the store'))
    .action((names: string[]) =>
      run(async (context) => (await import('./commands/rmi.js')).rmiCommand(names, context)),
    );
  addExamples(command, ['landfall rmi debian:trixie alpine']);
}

function addPin(program: Command, run: RunCommand): void {
  const command = program
    .command('pin')
    .summary('keep images from being collected')
    .description(
      'Keeps names from being collected, however long they are not used. Only `landfall rmi` removes them.',
    )
    .addArgument(new Argument('<name...>', 'images of the store'))
    .action((names: string[]) =>
      run(async (context) => (await import('./commands/pin.js')).pinCommand(names, context)),
    );
  addExamples(command, ['landfall pin registry.k8s.io/pause:3.10']);
}

function addUnpin(program: Command, run: RunCommand): void {
  const command = program
    .command('unpin')
    .summary('let pinned images be collected again')
    .description('Lets pinned names be collected again when they are not used.')
    .addArgument(new Argument('<name...>', 'images of the store'))
    .action((names: string[]) =>
      run(async (context) => (await import('./commands/unpin.js')).unpinCommand(names, context)),
    );
  addExamples(command, ['landfall unpin registry.k8s.io/pause:3.10']);
}
