import { Argument, type Command } from 'commander';
import type { UnpackFlags } from './commands/unpack.js';
import { addIdMapOptions } from './id-map.js';
import { addExamples, platformOption } from './options.js';
import type { RunCommand } from './run-command.js';

/** The commands that make something of an image's root file system without the store's snapshots. */
export function addUnpackCommands(program: Command, run: RunCommand): void {
  for (const add of [addUnpack]) add(program, run);
}

function addUnpack(program: Command, run: RunCommand): void {
  const command = program
    .command('unpack')
    .summary('write the merged root file system into a directory')
    .description("Writes an image's merged root file system into a directory, which is absent or empty.")
    .addArgument(new Argument('<source>', 'an image of the store, or oci:DIR[:TAG]'))
    .addArgument(new Argument('<dir>', 'where to'))
    .addOption(platformOption('the platform to unpack'));
  addIdMapOptions(command).action((source: string, directory: string, flags: UnpackFlags) =>
    run(async (context) =>
      (await import('./commands/unpack.js')).unpackCommand(source, directory, flags, context),
    ),
  );
  addExamples(command, [
    'landfall unpack debian:trixie rootfs',
    'landfall unpack oci:mirror:app /srv/app',
    'landfall unpack --uid-map 0:100000:65536 --gid-map 0:100000:65536 debian:trixie rootfs',
  ]);
}
