import { SYNC_MODES } from './config/settings.js';
import { addIdMapOptions, collect, type LandfallCommand } from './options/options.js';

const ANYWHERE =
  'an image of the store, docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF] or dir:DIR';
const OR_LAYER = `${ANYWHERE}; with @DIGEST of a layer behind it, that layer alone`;

/** The commands for single images: pulling, looking at them, naming them, and using their files. */
export function addImageCommands(program: LandfallCommand): void {
  program
    .command('pull')
    .summary('download, verify and unpack images')
    .description(
      'Downloads images from their registries, verifies them and unpacks their layers, all at once.',
    )
    .argument('[reference...]', 'images, for example debian:trixie or quay.io/team/app@sha256:…')
    .option(
      '--file <file>',
      'pull the images of this list too: one a line, # begins a remark; - is standard input',
    )
    .platform('the platform to unpack')
    .option('--all-platforms', 'download every platform of an image; unpack one')
    .option('--no-unpack', 'download only')
    .option('--verify-first', 'verify all of a layer before any of it is unpacked')
    .option('--discard-layers', 'drop the blob of each layer once it is unpacked')
    .choice('--sync <what>', 'what survives a power cut once the pull is done (default: full)', SYNC_MODES)
    .option('--trace <file>', 'write a trace that chrome://tracing and ui.perfetto.dev open')
    .option('--timeline <file.svg>', 'draw where the time went')
    .option('-q, --quiet', 'print only the digests')
    .examples(
      'landfall pull debian:trixie',
      'landfall pull --platform linux/arm64 alpine quay.io/prometheus/busybox',
      'landfall pull --plain-http registry.lan:5000/app:1',
      'landfall pull --discard-layers registry.k8s.io/kube-proxy:v1.34.0',
      'landfall pull --file /etc/landfall/images',
      'landfall pull --timeline pull.svg debian:trixie',
      'landfall pull --output json --progress none alpine',
    )
    .runs(async () => (await import('./commands/pull.js')).pullCommand);

  program
    .command('images')
    .summary('list the images of the store')
    .description('Lists the images of the store.')
    .option('-q, --quiet', 'print only the digests')
    .option(
      '--filter <what=value>',
      'only images that fit: reference=GLOB, label=KEY[=VALUE], pinned=true; may be given several times',
      collect,
    )
    .examples(
      'landfall images',
      "landfall images --filter 'reference=debian:*'",
      'landfall images --filter pinned=true',
      'landfall images -q',
    )
    .runs(async () => (await import('./commands/images.js')).imagesCommand);

  program
    .command('inspect')
    .summary('show the parts of an image')
    .description(
      'Shows the parts of an image: platforms, config, layers with their build steps, and referrers. Of an image at a registry only the documents are fetched.',
    )
    .argument('<source>', ANYWHERE)
    .platform('the platform to show')
    .option('--raw', "the exact bytes of the image's index or manifest; with --platform, of that manifest")
    .option('--config', 'the exact bytes of the config')
    .examples(
      'landfall inspect debian:trixie',
      'landfall inspect docker://debian:trixie',
      'landfall inspect --raw debian:trixie | sha256sum',
      'landfall inspect --config --platform linux/arm64 oci:mirror:app',
    )
    .runs(async () => (await import('./commands/inspect.js')).inspectCommand);

  program
    .command('tree')
    .summary('draw what an image consists of')
    .description(
      'Draws what an image consists of as a tree: index, manifests, configs and layers, and the signatures, SBOMs and whatever else refers to any of them.',
    )
    .argument('<source>', ANYWHERE)
    .option('--platform <platform>', 'only this platform of an index (default: all)')
    .option('--no-referrers', 'leave out what refers to the image')
    .examples(
      'landfall tree debian:trixie',
      'landfall tree --platform linux/arm64 docker://quay.io/team/app:1',
      'landfall tree --output json oci:mirror:app',
    )
    .runs(async () => (await import('./commands/tree.js')).treeCommand);

  program
    .command('diff')
    .summary('show which files differ between two images')
    .description(
      'Shows which files were added, changed and removed from one image, or layer, to another. Nothing is unpacked, and layers that both have at their bottom are read only where that is needed to tell.',
    )
    .argument('<before>', OR_LAYER)
    .argument('<after>', 'the same')
    .argument('[path...]', 'only these paths, with all below them')
    .platform('the platform to compare')
    .option('--times', 'count files as changed of which only the time of modification differs')
    .option('--exit-code', 'end with 1 where there is a difference')
    .examples(
      'landfall diff alpine debian:trixie',
      'landfall diff quay.io/team/app:1 docker://quay.io/team/app:2.0 /etc /srv',
      'landfall diff --exit-code oci:mirror:app quay.io/team/app:1',
    )
    .runs(async () => (await import('./commands/diff.js')).diffCommand);

  program
    .command('ls')
    .summary('list a directory of an image')
    .description(
      'Lists a directory of an image without unpacking it, or describes a file. Of an image at a registry only the layers are fetched that have to be, from the top.',
    )
    .argument('<source>', OR_LAYER)
    .argument('[path]', 'in the image; symlinks are followed within it', '/')
    .platform('the platform to look at')
    .option('-l, --long', 'with type, mode, owner, size, time (UTC) and the target of a symlink')
    .option('-R, --recursive', 'all that is below the directory, by paths from the root of the image')
    .option('-d, --directory', 'the directory itself, not its content')
    .option('-0, --null', 'the exact bytes of the names, with a NUL behind each')
    .examples(
      'landfall ls debian:trixie /etc',
      'landfall ls -l docker://debian:trixie /etc/os-release',
      'landfall ls -R -0 oci:mirror:app | xargs -0 -n 1 echo',
    )
    .runs(async () => (await import('./commands/ls.js')).lsCommand);

  program
    .command('cat')
    .summary('write a file of an image to standard output')
    .description(
      'Writes a file of an image to standard output without unpacking the image. Of an image at a registry only the layers are fetched that have to be, from the top; each is verified whole before anything is written.',
    )
    .argument('<source>', OR_LAYER)
    .argument('<path>', 'in the image; symlinks are followed within it')
    .platform('the platform to look at')
    .option('-o, --file <file>', 'write to a file, which is there only when it is whole')
    .examples(
      'landfall cat debian:trixie /etc/os-release',
      'landfall cat docker://debian:trixie /etc/os-release -o os-release',
    )
    .runs(async () => (await import('./commands/cat.js')).catCommand);

  program
    .command('blob')
    .summary('write the exact bytes of a blob')
    .description(
      'Writes the exact bytes of a blob: an index, a manifest, a config or a layer as it is compressed. They are verified; the last of them come only when all were right.',
    )
    .argument(
      '<blob>',
      'REPOSITORY@DIGEST in the store, docker://REPOSITORY@DIGEST, oci:DIR@DIGEST or oci-archive:FILE@DIGEST',
    )
    .option('-o, --file <file>', 'write to a file, which is there only when it is whole')
    .examples(
      'landfall blob debian@sha256:… -o layer.tar.gz',
      'landfall blob docker://debian@sha256:… | tar -tzf -',
    )
    .runs(async () => (await import('./commands/blob.js')).blobCommand);

  program
    .command('tag')
    .summary('give an image one more name')
    .description(
      'Gives an image of the store one more name, or moves a name to it; with docker://, gives an image at a registry one more tag.',
    )
    .argument('<source>', 'an image of the store, or docker://REF')
    .argument('<name>', 'the new name; at a registry the new tag alone')
    .examples(
      'landfall tag debian:trixie registry.lan:5000/base:1',
      'landfall tag docker://registry.lan:5000/team/app:1.2.3 stable',
    )
    .runs(async () => (await import('./commands/tag.js')).tagCommand);

  program
    .command('rmi')
    .summary('remove images')
    .description('Removes names from the store, pinned ones too, and frees what no other image needs.')
    .argument('<name...>', 'images of the store')
    .examples('landfall rmi debian:trixie alpine')
    .runs(async () => (await import('./commands/tag.js')).rmiCommand);

  program
    .command('pin')
    .summary('keep images from being collected')
    .description(
      'Keeps names from being collected, however long they are not used. Only `landfall rmi` removes them.',
    )
    .argument('<name...>', 'images of the store')
    .examples('landfall pin registry.k8s.io/pause:3.10')
    .runs(async () => (await import('./commands/tag.js')).pinCommand);

  program
    .command('unpin')
    .summary('let pinned images be collected again')
    .description('Lets pinned names be collected again when they are not used.')
    .argument('<name...>', 'images of the store')
    .examples('landfall unpin registry.k8s.io/pause:3.10')
    .runs(async () => (await import('./commands/tag.js')).unpinCommand);

  program
    .command('label')
    .summary('set labels of an image')
    .description('Sets labels of a name of the store, which `landfall images --filter label=` finds.')
    .argument('<name>', 'an image of the store')
    .argument('<label...>', 'KEY=VALUE, or KEY= to take the label away')
    .examples(
      'landfall label quay.io/team/app:1 team=crane tier=',
      'landfall images --filter label=team=crane',
    )
    .runs(async () => (await import('./commands/tag.js')).labelCommand);

  program
    .command('unpack')
    .summary('write the merged root file system into a directory')
    .description("Writes an image's merged root file system into a directory, which is absent or empty.")
    .argument('<source>', 'an image of the store, or oci:DIR[:TAG]')
    .argument('<dir>', 'where to')
    .platform('the platform to unpack')
    .with(addIdMapOptions)
    .examples(
      'landfall unpack debian:trixie rootfs',
      'landfall unpack oci:mirror:app /srv/app',
      'landfall unpack --uid-map 0:100000:65536 --gid-map 0:100000:65536 debian:trixie rootfs',
    )
    .runs(async () => (await import('./commands/unpack.js')).unpackCommand);

  program
    .command('export')
    .summary('write the merged root file system as a tar')
    .description(
      "Writes an image's merged root file system as one tar, to standard output or to a file, exactly and without privileges.",
    )
    .argument('<source>', 'an image of the store, or oci:DIR[:TAG]')
    .platform('the platform to export')
    .option(
      '-o, --file <file>',
      'write to a file, which is replaced when the tar is whole (default: standard output)',
    )
    .examples('landfall export -o rootfs.tar debian:trixie', 'landfall export oci:mirror:app | tar -tv')
    .runs(async () => (await import('./commands/unpack.js')).exportCommand);

  program
    .command('bundle')
    .summary('make an OCI runtime bundle, which runc starts')
    .description(
      "Makes an OCI runtime bundle in a directory, which is absent or empty: config.json, as the image's config says, and rootfs.",
    )
    .argument('<source>', 'an image of the store, or oci:DIR[:TAG]')
    .argument('<dir>', 'where to')
    .platform('the platform to unpack')
    .option('--rootless', 'a container that the caller may start without being root')
    .option('--terminal', 'give the process a terminal of its own')
    .with(addIdMapOptions)
    .examples(
      'landfall bundle debian:trixie ctr',
      'landfall bundle --rootless oci:mirror:app ctr',
      'landfall bundle --uid-map 0:100000:65536 --gid-map 0:100000:65536 debian:trixie ctr',
    )
    .runs(async () => (await import('./commands/unpack.js')).bundleCommand);

  program
    .command('mounts')
    .summary('print the overlay mounts of an image')
    .description("Prints the mounts that make up an image's root file system, as JSON, for others to mount.")
    .argument('<reference>', 'an image of the store')
    .platform('the platform to show')
    .examples('landfall mounts debian:trixie')
    .runs(async () => (await import('./commands/mount.js')).mountsCommand);

  program
    .command('mount')
    .summary('mount an image')
    .description(
      "Mounts an image's root file system: read-only unless --rw is given, nosuid unless --suid, nodev unless --dev.",
    )
    .argument('<reference>', 'an image of the store')
    .argument('<dir>', 'an existing directory')
    .platform('the platform to mount')
    .option('--rw', 'put a writable layer on top, which umount throws away')
    .option('--suid', 'let setuid programs and file capabilities have their effect')
    .option('--dev', 'let device files be opened')
    .examples('landfall mount debian:trixie /mnt', 'landfall mount --rw debian:trixie /mnt')
    .runs(async () => (await import('./commands/mount.js')).mountCommand);

  program
    .command('umount')
    .summary('unmount an image')
    .description('Unmounts what `landfall mount` mounted.')
    .argument('<dir>', 'the directory')
    .examples('landfall umount /mnt')
    .runs(async () => (await import('./commands/mount.js')).umountCommand);
}
