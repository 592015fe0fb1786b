import { Argument, type Command } from 'commander';
import type { BundleFlags } from './commands/bundle.js';
import type { ExportFlags } from './commands/export.js';
import type { UnpackFlags } from './commands/unpack.js';
import { addIdMapOptions } from './id-map.js';
import { addExamples, platformOption } from './options.js';
import type { RunCommand } from './run-command.js';

/** The commands that make something of an image's root file system without the store's snapshots. */
export function addUnpackCommands(program: Command, run: RunCommand): void {
  for (const add of [addUnpack, addExport, addBundle]) add(program, run);
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

function addExport(program: Command, run: RunCommand): void {
  const command = program
    .command('export')
    .summary('write the merged root file system as a tar')
    .description(
      "Writes an image's merged root file system as one tar, to standard output or to a file, exactly and without privileges.",
    )
    .addArgument(new Argument('<source>', 'an image of the store, or oci:DIR[:TAG]'))
    .addOption(platformOption('the platform to export'))
    .option(
      '-o, --file <file>',
      'where to; what is there is replaced when the tar is whole (default: standard output)',
    )
    .action((source: string, flags: ExportFlags) =>
      run(async (context) => (await import('./commands/export.js')).exportCommand(source, flags, context)),
    );
  addExamples(command, [
    'landfall export -o rootfs.tar debian:trixie',
    'landfall export oci:mirror:app | tar -tv',
  ]);
}

function addBundle(program: Command, run: RunCommand): void {
  const command = program
    .command('bundle')
    .summary('make an OCI runtime bundle, which runc starts')
    .description(
      "Makes an OCI runtime bundle in a directory, which is absent or empty: config.json, as the image's config says, and rootfs.",
    )
    .addArgument(new Argument('<source>', 'an image of the store, or oci:DIR[:TAG]'))
    .addArgument(new Argument('<dir>', 'where to'))
    .addOption(platformOption('the platform to unpack'))
    .option('--rootless', 'a container that the caller may start without being root')
    .option('--terminal', 'give the process a terminal of its own');
  addIdMapOptions(command).action((source: string, directory: string, flags: BundleFlags) =>
    run(async (context) =>
      (await import('./commands/bundle.js')).bundleCommand(source, directory, flags, context),
    ),
  );
  addExamples(command, [
    'landfall bundle debian:trixie ctr',
    'landfall bundle --rootless oci:mirror:app ctr',
    'landfall bundle --uid-map 0:100000:65536 --gid-map 0:100000:65536 debian:trixie ctr',
  ]);
}
