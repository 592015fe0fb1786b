import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { LoadFlags } from './commands/load.js';
import type { SaveFlags } from './commands/save.js';
import type { VerifyFlags } from './commands/verify.js';
import { addCopyOptions, collectPlatforms } from './add-copy-options.js';
import { addExamples } from './options.js';
import type { RunCommand } from './run-command.js';

const FORMATS = ['oci', 'docker', 'both'] as const;
/** Less is no file that anybody would carry. */
const LEAST_PART_BYTES = 64 * 1024;

/** The commands that write and read archives of images, and prove them whole. */
export function addArchiveCommands(program: Command, run: RunCommand): void {
  for (const add of [addSave, addLoad, addVerify]) add(program, run);
}

function addSave(program: Command, run: RunCommand): void {
  const command = program
    .command('save')
    .summary('write images into one archive')
    .description(
      'Writes images into one archive, each blob once: the same bytes for the same images. Docker, Podman and tools that read OCI layouts load it.',
    )
    .addArgument(
      new Argument(
        '<reference...>',
        'images of the store; docker://REF for one that is read from its registry without a copy here',
      ),
    )
    .requiredOption('-o, --file <file>', 'where to; - is standard output');
  addCopyOptions(command, { one: 'those that are there' })
    .addOption(new Option('--format <format>', 'for whom (default: both)').choices(FORMATS))
    .option(
      '--split <size>',
      'write FILE.000, FILE.001 and so on, none larger than this, for example 4G, and FILE.parts.json',
      parsePartSize,
    )
    .option('-q, --quiet', 'print only the digests')
    .action((references: string[], flags: SaveFlags) =>
      run(async (context) => (await import('./commands/save.js')).saveCommand(references, flags, context)),
    );
  addExamples(command, [
    'landfall save debian:trixie alpine -o images.tar',
    'landfall save --referrers --split 4G docker://quay.io/team/app:1 -o /media/app.tar',
    'landfall save alpine -o - | zstd > alpine.tar.zst',
    'landfall save --format docker --platform linux/arm64 alpine -o alpine.tar',
  ]);
}

function addLoad(program: Command, run: RunCommand): void {
  const command = program
    .command('load')
    .summary('read images from an archive into the store')
    .description(
      'Reads the images of an archive into the store, verifies and unpacks them. It may be an OCI archive or one of Docker, compressed with gzip or zstd, or split. Images that a signature policy refuses are left out.',
    )
    .option('-i, --input <file>', 'the archive; standard input when left out')
    .option('-t, --name <reference>', 'what an image is called that has no name in the archive')
    .option(
      '--platform <platforms>',
      'only these, with commas between them; may be given several times (default: those that the archive has)',
      collectPlatforms,
    )
    .option('--no-unpack', 'do not unpack the layers')
    .option('-q, --quiet', 'print only the digests')
    .action((flags: LoadFlags) =>
      run(async (context) => (await import('./commands/load.js')).loadCommand(flags, context)),
    );
  addExamples(command, [
    'landfall load -i images.tar',
    'ssh far cat images.tar.zst | landfall load',
    'landfall load -i app.tar --name registry.lan/team/app:1',
  ]);
}

function addVerify(program: Command, run: RunCommand): void {
  const command = program
    .command('verify')
    .summary('prove that images are whole')
    .description(
      'Reads all that images consist of, and tells of all that is missing, damaged or malformed; under a signature policy also of what each image lacks of signatures. Nothing is changed.',
    )
    .addArgument(
      new Argument(
        '[source]',
        'FILE or - for an archive, oci:DIR, docker://REF, docker://HOST/ or docker://HOST/PATH/ for all that is below, or REF for an image of the store; all of the store when left out',
      ),
    )
    .option('--diff-ids', 'also decompress layers and hold them against the configs')
    .option('--referrers', 'also what refers to an image at its registry')
    .action((source: string | undefined, flags: VerifyFlags) =>
      run(async (context) => (await import('./commands/verify.js')).verifyCommand(source, flags, context)),
    );
  addExamples(command, [
    'landfall verify images.tar',
    'landfall verify oci:mirror --output json',
    'landfall verify --referrers docker://registry.lan:5000/team/app:1',
    'landfall verify docker://mirror.lan:5000/hub/',
    'landfall verify --policy policy.json images.tar',
  ]);
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** Bytes of a part: `4G`, `650M`. */
function parsePartSize(text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,12})([KMGT]?)$/i.exec(text) ?? [];
  const size = Number(digits) * (UNITS[unit.toUpperCase()] ?? 0);
  if (digits === '' || size < LEAST_PART_BYTES || !Number.isSafeInteger(size)) {
    throw new InvalidArgumentError('It is not a size of at least 64K, such as 650M or 4G.');
  }
  return size;
}
