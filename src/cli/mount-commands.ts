import { Argument, type Command } from 'commander';
import type { MountFlags } from './commands/mount.js';
import type { MountsFlags } from './commands/mounts.js';
import { addExamples, platformOption } from './options.js';
import type { RunCommand } from './run-command.js';

/** The commands that mount images, or tell others how. */
export function addMountCommands(program: Command, run: RunCommand): void {
  for (const add of [addMounts, addMount, addUmount]) add(program, run);
}

function addMounts(program: Command, run: RunCommand): void {
  const command = program
    .command('mounts')
    .summary('print the overlay mounts of an image')
    .description("Prints the mounts that make up an image's root file system, as JSON, for others to mount.")
    .addArgument(new Argument('<reference>', 'an image of the store'))
    .addOption(platformOption('the platform to show'))
    .action((name: string, flags: MountsFlags) =>
      run(async (context) => (await import('./commands/mounts.js')).mountsCommand(name, flags, context)),
    );
  addExamples(command, ['landfall mounts debian:trixie']);
}

function addMount(program: Command, run: RunCommand): void {
  const command = program
    .command('mount')
    .summary('mount an image')
    .description("Mounts an image's root file system, read-only unless --rw is given.")
    .addArgument(new Argument('<reference>', 'an image of the store'))
    .addArgument(new Argument('<dir>', 'an existing directory'))
    .addOption(platformOption('the platform to mount'))
    .option('--rw', 'put a writable layer on top, which umount throws away')
    .action((name: string, directory: string, flags: MountFlags) =>
      run(async (context) =>
        (await import('./commands/mount.js')).mountCommand(name, directory, flags, context),
      ),
    );
  addExamples(command, ['landfall mount debian:trixie /mnt', 'landfall mount --rw debian:trixie /mnt']);
}

function addUmount(program: Command, run: RunCommand): void {
  const command = program
    .command('umount')
    .summary('unmount an image')
    .description('Unmounts what `landfall mount` mounted.')
    .addArgument(new Argument('<dir>', 'the directory'))
    .action((directory: string) =>
      run(async (context) => (await import('./commands/umount.js')).umountCommand(directory, context)),
    );
  addExamples(command, ['landfall umount /mnt']);
}
