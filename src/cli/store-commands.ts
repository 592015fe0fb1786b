import type { Command } from 'commander';
import type { DoctorFlags } from './commands/doctor.js';
import type { FsckFlags } from './commands/fsck.js';
import type { GcFlags } from './commands/gc.js';
import { addExamples } from './options.js';
import type { RunCommand } from './run-command.js';

/** The commands that look after the store as a whole, and after what this machine gives it. */
export function addStoreCommands(program: Command, run: RunCommand): void {
  for (const add of [addDf, addGc, addFsck, addDoctor]) add(program, run);
}

function addDf(program: Command, run: RunCommand): void {
  const command = program
    .command('df')
    .summary('show what the store takes on the disk')
    .description('Shows what the store takes on the disk, and what `landfall gc` would free of it.')
    .action(() => run(async (context) => (await import('./commands/df.js')).dfCommand(context)));
  addExamples(command, ['landfall df', 'landfall df --output json']);
}

function addGc(program: Command, run: RunCommand): void {
  const command = program
    .command('gc')
    .summary('remove what no image needs')
    .description('Removes blobs, snapshots and expired partial downloads that no image needs.')
    .option('--dry-run', 'only say what would be removed')
    .option('--unused-for <duration>', 'remove also images that nobody used for so long, for example 720h')
    .option(
      '--partials-older-than <duration>',
      'remove partial downloads that nobody went on with for so long (default: 24h)',
    )
    .action((flags: GcFlags) =>
      run(async (context) => (await import('./commands/gc.js')).gcCommand(flags, context)),
    );
  addExamples(command, ['landfall gc --dry-run', 'landfall gc', 'landfall gc --unused-for 30d']);
}

function addFsck(program: Command, run: RunCommand): void {
  const command = program
    .command('fsck')
    .summary('check the store, and repair it')
    .description('Checks all that the store holds. Only with --repair or --rebuild is anything changed.')
    .option('--quick', 'check all but the contents of blobs and snapshots')
    .option('--repair', 'fetch damaged blobs again, and unpack damaged snapshots again')
    .option('--rebuild', 'make a new database from what lies on the disk')
    .action((flags: FsckFlags) =>
      run(async (context) => (await import('./commands/fsck.js')).fsckCommand(flags, context)),
    );
  addExamples(command, ['landfall fsck --quick', 'landfall fsck --repair', 'landfall fsck --rebuild']);
}

function addDoctor(program: Command, run: RunCommand): void {
  const command = program
    .command('doctor')
    .summary('show what this machine can do')
    .description('Shows what this machine can do for landfall, and what landfall does where it cannot.')
    .option('--hosts <reference>', 'show where an image would be asked for instead, in that order, and why')
    .option(
      '--containerd [file]',
      "show instead the lines that containerd's configuration lacks for landfall to be its snapshotter (default: /etc/containerd/config.toml)",
    )
    .action((flags: DoctorFlags) =>
      run(async (context) => (await import('./commands/doctor.js')).doctorCommand(flags, context)),
    );
  addExamples(command, [
    'landfall doctor',
    'landfall doctor --hosts quay.io/team/app',
    'landfall doctor --containerd',
    'landfall --root /srv/landfall doctor --output json',
  ]);
}
