import { Argument, type Command, Option } from 'commander';
import type { BlobFlags } from './commands/blob.js';
import type { BundleFlags, ExportFlags, UnpackFlags } from './commands/unpack.js';
import type { CatFlags } from './commands/cat.js';
import type { DiffFlags } from './commands/diff.js';
import type { ImagesFlags } from './commands/images.js';
import type { InspectFlags } from './commands/inspect.js';
import type { LsFlags } from './commands/ls.js';
import type { MountFlags, MountsFlags } from './commands/mount.js';
import type { TreeFlags } from './commands/tree.js';
import { addExamples, addIdMapOptions, collect, platformOption } from './options/options.js';
import type { RunCommand } from './options/run-command.js';

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
      run(async (context) => (await import('./commands/tag.js')).rmiCommand(names, context)),
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
      run(async (context) => (await import('./commands/tag.js')).pinCommand(names, context)),
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
      run(async (context) => (await import('./commands/tag.js')).unpinCommand(names, context)),
    );
  addExamples(command, ['landfall unpin registry.k8s.io/pause:3.10']);
}

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
      run(async (context) => (await import('./commands/mount.js')).mountsCommand(name, flags, context)),
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
      run(async (context) => (await import('./commands/mount.js')).umountCommand(directory, context)),
    );
  addExamples(command, ['landfall umount /mnt']);
}

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
      run(async (context) => (await import('./commands/unpack.js')).exportCommand(source, flags, context)),
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
      (await import('./commands/unpack.js')).bundleCommand(source, directory, flags, context),
    ),
  );
  addExamples(command, [
    'landfall bundle debian:trixie ctr',
    'landfall bundle --rootless oci:mirror:app ctr',
    'landfall bundle --uid-map 0:100000:65536 --gid-map 0:100000:65536 debian:trixie ctr',
  ]);
}
