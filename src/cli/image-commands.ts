import { Argument, type Command } from 'commander';
import type { ImagesFlags } from './commands/images.js';
import type { InspectFlags } from './commands/inspect.js';
import { addExamples, collect, platformOption } from './options.js';
import type { RunCommand } from './run-command.js';

/** The commands that list and show images. */
export function addImageCommands(program: Command, run: RunCommand): void {
  for (const add of [addImages, addInspect]) add(program, run);
}

function addImages(program: Command, run: RunCommand): void {
  const command = program
    .command('images')
    .summary('list the images of the store')
    .description('Lists the images of the store.')
    .option('-q, --quiet', 'print only the digests')
    .option(
      '--filter <what=value>',
      'only images that fit: reference=GLOB, label=KEY[=VALUE], pinned=true; may be given several times',
      collect,
    )
    .action((flags: ImagesFlags) =>
      run(async (context) => (await import('./commands/images.js')).imagesCommand(flags, context)),
    );
  addExamples(command, [
    'landfall images',
    "landfall images --filter 'reference=debian:*'",
    'landfall images --filter pinned=true',
    'landfall images -q',
  ]);
}

function addInspect(program: Command, run: RunCommand): void {
  const command = program
    .command('inspect')
    .summary('show what an image is made of')
    .description('Shows what an image is made of: platforms, config, layers.')
    .addArgument(new Argument('<source>', 'an image of the store, or oci:DIR[:TAG]'))
    .addOption(platformOption('the platform to show'))
    .option('--raw', "the exact bytes of the image's index or manifest; with --platform, of that manifest")
    .option('--config', 'the exact bytes of the config')
    .action((source: string, flags: InspectFlags) =>
      run(async (context) => (await import('./commands/inspect.js')).inspectCommand(source, flags, context)),
    );
  addExamples(command, [
    'landfall inspect debian:trixie',
    'landfall inspect --raw debian:trixie | sha256sum',
    'landfall inspect --config --platform linux/arm64 oci:mirror:app',
  ]);
}
