import { Argument, type Command, Option } from 'commander';
import type { BlobFlags } from './commands/blob.js';
import type { CatFlags } from './commands/cat.js';
import type { DiffFlags } from './commands/diff.js';
import type { ImagesFlags } from './commands/images.js';
import type { InspectFlags } from './commands/inspect.js';
import type { LsFlags } from './commands/ls.js';
import type { TreeFlags } from './commands/tree.js';
import { addExamples, collect, platformOption } from './options.js';
import type { RunCommand } from './run-command.js';

/** The commands that list and show images. */
export function addImageCommands(program: Command, run: RunCommand): void {
  for (const add of [addImages, addInspect, addTree, addDiff, addLs, addCat, addBlob]) add(program, run);
}

const ANYWHERE =
  'an image of the store, docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:REF]';
const OR_LAYER = `${ANYWHERE}; with @DIGEST of a layer behind it, that layer alone`;

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
    .description(
      'Shows what an image is made of: platforms, config, layers and the steps that made them, and what refers to it. Of an image at a registry only the documents are fetched.',
    )
    .addArgument(new Argument('<source>', ANYWHERE))
    .addOption(platformOption('the platform to show'))
    .option('--raw', "the exact bytes of the image's index or manifest; with --platform, of that manifest")
    .option('--config', 'the exact bytes of the config')
    .action((source: string, flags: InspectFlags) =>
      run(async (context) => (await import('./commands/inspect.js')).inspectCommand(source, flags, context)),
    );
  addExamples(command, [
    'landfall inspect debian:trixie',
    'landfall inspect docker://debian:trixie',
    'landfall inspect --raw debian:trixie | sha256sum',
    'landfall inspect --config --platform linux/arm64 oci:mirror:app',
  ]);
}

function addTree(program: Command, run: RunCommand): void {
  const command = program
    .command('tree')
    .summary('draw what an image consists of')
    .description(
      'Draws what an image consists of as a tree: index, manifests, configs and layers, and the signatures, SBOMs and whatever else refers to any of them.',
    )
    .addArgument(new Argument('<source>', ANYWHERE))
    .addOption(new Option('--platform <platform>', 'only this platform of an index (default: all)'))
    .option('--no-referrers', 'leave out what refers to the image')
    .action((source: string, flags: TreeFlags) =>
      run(async (context) => (await import('./commands/tree.js')).treeCommand(source, flags, context)),
    );
  addExamples(command, [
    'landfall tree debian:trixie',
    'landfall tree --platform linux/arm64 docker://quay.io/team/app:1',
    'landfall tree --output json oci:mirror:app',
  ]);
}

function addDiff(program: Command, run: RunCommand): void {
  const command = program
    .command('diff')
    .summary('show which files differ between two images')
    .description(
      'Shows which files were added, changed and removed from one image, or layer, to another. Nothing is unpacked, and layers that both have at their bottom are read only where that is needed to tell.',
    )
    .addArgument(new Argument('<before>', OR_LAYER))
    .addArgument(new Argument('<after>', 'the same'))
    .addArgument(new Argument('[path...]', 'only these paths, and what is below them'))
    .addOption(platformOption('the platform to compare'))
    .option('--times', 'count files as changed of which only the time of modification differs')
    .option('--exit-code', 'end with 1 where there is a difference')
    .action((before: string, after: string, paths: string[], flags: DiffFlags) =>
      run(async (context) =>
        (await import('./commands/diff.js')).diffCommand(before, after, paths, flags, context),
      ),
    );
  addExamples(command, [
    'landfall diff alpine debian:trixie',
    'landfall diff quay.io/team/app:1 docker://quay.io/team/app:2.0 /etc /srv',
    'landfall diff --exit-code oci:mirror:app quay.io/team/app:1',
  ]);
}

function addLs(program: Command, run: RunCommand): void {
  const command = program
    .command('ls')
    .summary('list a directory of an image')
    .description(
      'Lists a directory of an image without unpacking it, or describes a file. Of an image at a registry only the layers are fetched that have to be, from the top.',
    )
    .addArgument(new Argument('<source>', OR_LAYER))
    .addArgument(new Argument('[path]', 'in the image; symlinks are followed within it').default('/'))
    .addOption(platformOption('the platform to look at'))
    .option('-l, --long', 'with type, mode, owner, size, time (UTC) and the target of a symlink')
    .option('-R, --recursive', 'all that is below the directory, by paths from the root of the image')
    .option('-d, --directory', 'the directory itself, and not what is in it')
    .option('-0, --null', 'the exact bytes of the names, with a NUL behind each')
    .action((source: string, path: string, flags: LsFlags) =>
      run(async (context) => (await import('./commands/ls.js')).lsCommand(source, path, flags, context)),
    );
  addExamples(command, [
    'landfall ls debian:trixie /etc',
    'landfall ls -l docker://debian:trixie /etc/os-release',
    'landfall ls -R -0 oci:mirror:app | xargs -0 -n 1 echo',
  ]);
}

function addCat(program: Command, run: RunCommand): void {
  const command = program
    .command('cat')
    .summary('write a file of an image to standard output')
    .description(
      'Writes a file of an image to standard output without unpacking the image. Of an image at a registry only the layers are fetched that have to be, from the top; each is verified whole before anything is written.',
    )
    .addArgument(new Argument('<source>', OR_LAYER))
    .addArgument(new Argument('<path>', 'in the image; symlinks are followed within it'))
    .addOption(platformOption('the platform to look at'))
    .option('-o, --file <file>', 'write to a file, which is there only when it is whole')
    .action((source: string, path: string, flags: CatFlags) =>
      run(async (context) => (await import('./commands/cat.js')).catCommand(source, path, flags, context)),
    );
  addExamples(command, [
    'landfall cat debian:trixie /etc/os-release',
    'landfall cat docker://debian:trixie /etc/os-release -o os-release',
  ]);
}

function addBlob(program: Command, run: RunCommand): void {
  const command = program
    .command('blob')
    .summary('write the exact bytes of a blob')
    .description(
      'Writes the exact bytes of a blob: an index, a manifest, a config or a layer as it is compressed. They are verified; the last of them come only when all were right.',
    )
    .addArgument(
      new Argument(
        '<blob>',
        'REPOSITORY@DIGEST in the store, docker://REPOSITORY@DIGEST, oci:DIR@DIGEST or oci-archive:FILE@DIGEST',
      ),
    )
    .option('-o, --file <file>', 'write to a file, which is there only when it is whole')
    .action((blob: string, flags: BlobFlags) =>
      run(async (context) => (await import('./commands/blob.js')).blobCommand(blob, flags, context)),
    );
  addExamples(command, [
    'landfall blob debian@sha256:… -o layer.tar.gz',
    'landfall blob docker://debian@sha256:… | tar -tzf -',
  ]);
}
