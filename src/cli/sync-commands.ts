import { type Command } from 'commander';
import type { SyncFlags } from './commands/sync.js';
import { addExamples, collect } from './options.js';
import type { RunCommand } from './run-command.js';

/** The command that keeps whole sets of images the same elsewhere. */
export function addSyncCommands(program: Command, run: RunCommand): void {
  const command = program
    .command('sync')
    .summary('copy a declared set of images')
    .description(
      'Makes registries, layouts, archives or the store have the images that a file asks for. What is there already is not moved again, and what a signature policy refuses is not moved at all.',
    )
    .requiredOption(
      '-f, --file <file>',
      "what is wanted, in landfall's form or that of skopeo sync; - reads it from standard input",
    )
    .option(
      '--to <destination>',
      'copy there in place of where the file says: docker://HOST[/PATH], oci:DIR, oci-archive:FILE, store; may be given several times',
      collect,
    )
    .option(
      '--scoped',
      "with --to, keep the source registry's name in the path, as skopeo sync --scoped does",
    )
    .option('--all', "of a file of skopeo's form, all platforms of each image")
    .option('--dry-run', 'only say what would be copied and deleted')
    .option('--recheck', 'look at all parts of what the destination has already')
    .option('--prune', 'delete tags at the destination that the file asks for no more')
    .option('-y, --yes', 'delete without asking')
    .option('--report <file>', 'write what was done there, as JSON')
    .option(
      '--since <file>',
      'leave out what the report of an earlier run says was delivered; for layouts and archives',
    )
    .option('--shard <i/n>', 'copy only one part of n, counted from 0; balanced by bytes')
    .action((flags: SyncFlags) =>
      run(async (context) => (await import('./commands/sync.js')).syncCommand(flags, context)),
    );
  addExamples(command, [
    'landfall sync -f mirror.yaml --dry-run',
    'landfall sync -f mirror.yaml --prune --yes --report report.json',
    'landfall sync -f mirror.yaml --to oci-archive:delta.tar --since report.json --report next.json',
    'landfall sync -f skopeo.yaml --to docker://registry.lan:5000/mirror --scoped --all',
  ]);
}
