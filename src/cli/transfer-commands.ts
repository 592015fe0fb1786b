import { InvalidArgumentError } from 'commander';
import { parseSize } from './config/settings.js';
import { collect, type LandfallCommand, parseLimit, parseRate } from './options/options.js';

const DEFAULT_PLATFORM = "this machine's, or the only one that there is, by itself";
const FORMATS = ['oci', 'docker', 'both'] as const;

/** The commands that move images between registries, the store, layouts and archives, or ask a registry. */
export function addTransferCommands(program: LandfallCommand): void {
  program
    .command('serve')
    .summary('serve images over the registry API')
    .description(
      'Serves the store, or an OCI layout, as a registry that images are pulled from, and with --writable pushed to.',
    )
    .argument('[source]', 'oci:DIR; the store when left out')
    .option('--listen <host:port>', 'where to listen; port 0 takes a free one (default: 127.0.0.1:5000)')
    .option('--writable', 'take pushes and deletions too; of the store only')
    .option(
      '--sign-within <duration>',
      'under a policy, let a tag that is pushed point to an image without its signatures for so long (default: not at all)',
    )
    .option('--pull-through', 'fetch missing content from its registry, and keep it')
    .option(
      '--upstream <registry>',
      'a registry that content may be brought from; may be given several times (default: docker.io)',
      collect,
    )
    .option(
      '--pull-through-ttl <duration>',
      'how long a tag is taken to lead where it did, before its registry is asked again (default: 1m)',
    )
    .option(
      '--print-hosts',
      'print the hosts.toml files that have nodes use this server as a mirror, and serve nothing',
    )
    .option(
      '--advertise <host:port>',
      'where clients reach this server, for --print-hosts, and for a policy to name pushed images (default: as --listen says)',
    )
    .option('--tls-cert <file>', 'speak TLS with this certificate, in PEM; it is read again when it changes')
    .option('--tls-key <file>', 'the key of the certificate, in PEM')
    .option('--htpasswd <file>', 'ask for the password of a user of this file, which htpasswd -B makes')
    .option('--anonymous-read', 'allow reading without a password; needs --htpasswd')
    .option(
      '--max-upload-size <size>',
      'the largest blob that is taken, such as 20G (default: 512G)',
      parseRate,
    )
    .option('--max-requests <n>', 'requests that are answered at once (default: 2048)', parseLimit)
    .option('--max-connections <n>', 'connections that are open at once (default: 4096)', parseLimit)
    .option(
      '--client-timeout <duration>',
      'cut off clients that are waited for and hardly move for so long (default: 1m)',
    )
    .option(
      '--metrics <host:port>',
      'serve metrics for Prometheus and /healthz there, over HTTP (default: nowhere)',
    )
    .examples(
      'landfall serve',
      'landfall serve --listen 0.0.0.0:5000 oci:mirror',
      'landfall serve --listen 0.0.0.0:5000 --pull-through --upstream docker.io --upstream quay.io',
      'landfall serve --listen 0.0.0.0:5000 --print-hosts --upstream docker.io --advertise mirror.lan:5000',
      'landfall serve --writable --htpasswd users --anonymous-read --tls-cert cert.pem --tls-key key.pem',
    )
    .runs(async () => (await import('./commands/serve.js')).serveCommand);

  program
    .command('copy')
    .summary('copy an image from one place to another')
    .description(
      'Copies an image between registries, the store, OCI layouts and archives. Its digest stays, and content that is there is not sent again. Nothing is copied before it has the signatures of the policy.',
    )
    .argument(
      '<source>',
      'docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], dir:DIR, or REF for an image of the store',
    )
    .argument('<destination>', 'the same')
    .with(addCopyOptions, DEFAULT_PLATFORM)
    .option('--dry-run', 'only say what would be copied')
    .option('--recheck', 'look at all parts of what the destination has already')
    .option('--src-creds <user[:password]>', 'credentials for the source only')
    .option('--dest-creds <user[:password]>', 'credentials for the destination only')
    .with(addSideOptions)
    .option('-q, --quiet', 'print the digest only')
    .examples(
      'landfall copy --all docker://quay.io/team/app:1 docker://registry.lan:5000/team/app:1',
      'landfall copy docker://debian:trixie oci:images:debian',
      'landfall copy docker-archive:app.tar app:1',
    )
    .runs(async () => (await import('./commands/copy.js')).copyCommand);

  program
    .command('push')
    .summary('copy an image of the store to a registry')
    .description('Copies an image of the store to the registry of its name, or to another one.')
    .argument('<reference>', 'an image of the store')
    .argument('[destination]', 'where it goes, with docker:// before it or without (default: its name)')
    .with(addCopyOptions, DEFAULT_PLATFORM)
    .option('--dry-run', 'only say what would be copied')
    .option('-q, --quiet', 'print the digest only')
    .examples(
      'landfall push registry.lan:5000/team/app:1',
      'landfall push debian:trixie registry.lan:5000/base/debian:trixie',
    )
    .runs(async () => (await import('./commands/copy.js')).pushCommand);

  program
    .command('delete')
    .summary('delete images at a registry or in a layout')
    .description(
      'Deletes tags, or manifests by their digests with all their tags. Where a registry deletes no tags, the manifest goes if no other tag names it.',
    )
    .argument('<name...>', 'docker://REF or oci:DIR:TAG')
    .examples('landfall delete docker://registry.lan:5000/team/app:1')
    .runs(async () => (await import('./commands/delete.js')).deleteCommand);

  program
    .command('resolve')
    .summary('print the digest that a name leads to')
    .description('Asks a registry for the digest that a name leads to. Nothing is downloaded.')
    .argument('<reference>', 'an image at a registry, with docker:// before it or without')
    .option('--platform <platform>', 'go on to the manifest for it, for example linux/arm64')
    .examples(
      'landfall resolve debian:trixie',
      'landfall resolve --platform linux/arm64 docker://quay.io/prometheus/busybox',
    )
    .runs(async () => (await import('./commands/tags.js')).resolveCommand);

  program
    .command('tags')
    .summary('list the tags of a repository')
    .description('Lists the tags of a repository at its registry, in its order or sorted.')
    .argument('<repository>', 'a repository, with docker:// before it or without')
    .option('--limit <n>', 'list so many at most', parseLimit)
    .choice('--sort <order>', 'sort them, versions with the newest first', ['name', 'version'])
    .option('--filter <glob>', 'only what matches, for example "3.*-slim"')
    .option('--semver <range>', 'only versions within a range, for example "^1.4"')
    .examples(
      'landfall tags debian',
      'landfall tags --sort version --semver ^1.4 team/app',
      'landfall tags --limit 20 docker://quay.io/team/app',
    )
    .runs(async () => (await import('./commands/tags.js')).tagsCommand);

  program
    .command('catalog')
    .summary('list the repositories of a registry')
    .description(
      'Lists the repositories of a registry, if it has such a list: Docker Hub and others have none.',
    )
    .argument('<host>', 'a registry, with docker:// before it or without')
    .option('--limit <n>', 'list so many at most', parseLimit)
    .option('--filter <glob>', 'only what matches, for example "team/*"')
    .examples('landfall catalog registry.lan:5000', 'landfall catalog --filter "team/*" quay.io')
    .runs(async () => (await import('./commands/tags.js')).catalogCommand);

  program
    .command('referrers')
    .summary('show what refers to an image: signatures, SBOMs, attestations')
    .description('Shows what refers to an image at its registry, and what refers to that, as a tree.')
    .argument('<reference>', 'an image at a registry, with docker:// before it or without')
    .option('--artifact-type <type>', 'only referrers of this type, with their own referrers')
    .examples(
      'landfall referrers quay.io/team/app:1',
      'landfall referrers --artifact-type application/spdx+json docker://quay.io/team/app:1',
    )
    .runs(async () => (await import('./commands/referrers.js')).referrersCommand);

  program
    .command('login')
    .summary('log in to a registry')
    .description('Checks a user and a password against a registry and keeps them for later commands.')
    .argument('<host>', 'a registry, or a path of one: quay.io, docker.io, quay.io/team')
    .option('-u, --username <user>', 'the user; asked for at a terminal when left out')
    .option('--password-stdin', 'read the password from standard input')
    .examples(
      'landfall login quay.io',
      'landfall login -u robot --password-stdin registry.lan:5000 < password-file',
    )
    .runs(async () => (await import('./commands/login.js')).loginCommand);

  program
    .command('logout')
    .summary('log out of a registry')
    .description('Forgets the credentials that login has kept.')
    .argument('<host>', 'a registry, or a path of one')
    .option('--all', 'forget them in every file that is looked in, and those for paths below')
    .examples('landfall logout quay.io', 'landfall logout --all docker.io')
    .runs(async () => (await import('./commands/login.js')).logoutCommand);

  program
    .command('save')
    .summary('write images into one archive')
    .description(
      'Writes images into one archive, each blob once: the same bytes for the same images. Docker, Podman and tools that read OCI layouts load it.',
    )
    .argument(
      '<reference...>',
      'images of the store; docker://REF for one that is read from its registry without a copy here',
    )
    .requiredOption('-o, --file <file>', 'where to; - is standard output')
    .with(addCopyOptions, 'those that are there')
    .choice('--format <format>', 'for whom (default: both)', FORMATS)
    .option(
      '--split <size>',
      'write FILE.000, FILE.001 and so on, none larger than this, for example 4G, and FILE.parts.json',
      parsePartSize,
    )
    .option('-q, --quiet', 'print only the digests')
    .examples(
      'landfall save debian:trixie alpine -o images.tar',
      'landfall save --split 4G docker://quay.io/team/app:1 -o /media/app.tar',
      'landfall save alpine -o - | zstd > alpine.tar.zst',
      'landfall save --format docker --platform linux/arm64 alpine -o alpine.tar',
    )
    .runs(async () => (await import('./commands/save.js')).saveCommand);

  program
    .command('load')
    .summary('read images from an archive into the store')
    .description(
      'Reads the images of an archive into the store, verifies and unpacks them. It may be an OCI archive or one of Docker, compressed with gzip or zstd, or split. Images that a signature policy refuses are left out.',
    )
    .option('-i, --input <file>', 'the archive; standard input when left out')
    .option('-t, --name <reference>', 'the name of an image that has none in the archive')
    .option(
      '--platform <platforms>',
      'only these, with commas between them; may be given several times (default: those that the archive has)',
      collectPlatforms,
    )
    .option('--no-unpack', 'do not unpack the layers')
    .option('-q, --quiet', 'print only the digests')
    .examples(
      'landfall load -i images.tar',
      'ssh far cat images.tar.zst | landfall load',
      'landfall load -i app.tar --name registry.lan/team/app:1',
    )
    .runs(async () => (await import('./commands/load.js')).loadCommand);

  program
    .command('verify')
    .summary('prove that images are whole')
    .description(
      'Reads all that images consist of, and tells of all that is missing, damaged or malformed; under a signature policy also of what each image lacks of signatures. Nothing is changed.',
    )
    .argument(
      '[source]',
      'FILE or - for an archive, oci:DIR, docker://REF, docker://HOST/ or docker://HOST/PATH/ for all that is below, or REF for an image of the store; all of the store when left out',
    )
    .option('--diff-ids', 'also decompress layers and hold them against the configs')
    .option('--referrers', 'also what refers to an image at its registry')
    .examples(
      'landfall verify images.tar',
      'landfall verify oci:mirror --output json',
      'landfall verify --referrers docker://registry.lan:5000/team/app:1',
      'landfall verify docker://mirror.lan:5000/hub/',
      'landfall verify --policy policy.json images.tar',
    )
    .runs(async () => (await import('./commands/verify.js')).verifyCommand);

  program
    .command('sync')
    .summary('copy a declared set of images')
    .description(
      'Copies the images of a file to registries, layouts, archives or the store. Content that is there is not sent again. Images that a signature policy refuses are not copied.',
    )
    .requiredOption(
      '-f, --file <file>',
      "the mirror file, in landfall's form or that of skopeo sync; - reads it from standard input",
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
    .option('--no-referrers', 'leave out what refers to the images: signatures, SBOMs, attestations')
    .option('--dry-run', 'only say what would be copied and deleted')
    .option('--recheck', 'look at all parts of what the destination has already')
    .option('--prune', 'delete tags at the destination that the file asks for no more')
    .option('-y, --yes', 'delete without asking')
    .option('--report <file>', 'write a report there, as JSON')
    .option(
      '--since <file>',
      'leave out what the report of an earlier run says was delivered; for layouts and archives; may be given several times',
      collect,
    )
    .with(addSideOptions)
    .option('--shard <i/n>', 'copy only the repositories of one part of n, counted from 0')
    .examples(
      'landfall sync -f mirror.yaml --dry-run',
      'landfall sync -f mirror.yaml --prune --yes --report report.json',
      'landfall sync -f mirror.yaml --to oci-archive:delta.tar --since report.json --report next.json',
      'landfall sync -f skopeo.yaml --to docker://registry.lan:5000/mirror --scoped --all',
    )
    .runs(async () => (await import('./commands/sync.js')).syncCommand);
}

/** Adds the options of commands that read registries and write to others, which are reached in another way. */
function addSideOptions(command: LandfallCommand): void {
  for (const [side, of] of [
    ['src', 'registries that are read'],
    ['dest', 'registries that are written to'],
  ] as const) {
    command
      .option(`--${side}-plain-http`, `speak HTTP without TLS to ${of}`)
      .option(`--${side}-insecure`, `do not verify the certificates of ${of}`)
      .option(`--${side}-ca <file>`, `trust the authorities in this PEM file for ${of}`);
  }
}

/**
 * Adds the options of commands that copy images; `one` says which platforms are copied where none is named.
 */
function addCopyOptions(command: LandfallCommand, one: string): void {
  command
    .option('--all', 'all platforms of each image')
    .option(
      '--platform <platforms>',
      `only these, with commas between them, for example linux/amd64,linux/arm64; may be given several times (default: ${one})`,
      collectPlatforms,
    )
    .option('--rewrite-index', 'make a new index of the platforms that are named, which has another digest')
    .option('--no-referrers', 'leave out what refers to each image: signatures, SBOMs, attestations')
    .option(
      '--artifact-type <type>',
      'only referrers of this type, with their own referrers; may be given several times',
      collect,
    )
    .option('--no-cosign-tags', "of the referrers not those that only cosign's tags tell of");
}

/** Platforms with commas between them; for options that may be given several times. */
function collectPlatforms(text: string, before: readonly string[] = []): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new InvalidArgumentError('A platform is missing between two commas.');
  return [...before, ...names];
}

/** Smaller parts have no use. */
const LEAST_PART_BYTES = 64 * 1024;

/** Bytes of a part: `4G`, `650M`. */
function parsePartSize(text: string): number {
  const size = parseSize(text);
  if (size !== undefined && size >= LEAST_PART_BYTES) return size;
  throw new InvalidArgumentError('It is not a size of at least 64K, such as 650M or 4G.');
}
