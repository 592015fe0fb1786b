/** What those who know docker, podman, skopeo, crane, regctl, oras, ctr, crictl or umoci type, and what is typed here. */

const IMAGES = '`landfall images` lists the images of the store.';
const INSPECT = '`landfall inspect REF` shows what an image is made of.';
const RAW = '`landfall inspect --raw REF` prints an index or a manifest, `--config` the config.';
const RMI =
  '`landfall rmi NAME` removes images of the store, `landfall delete docker://REF` one at a registry.';
const GC = '`landfall gc` removes what no image needs.';
const DF = '`landfall df` shows what the store takes.';
const TAGS = '`landfall tags REPO` lists the tags of a repository.';
const TAG = '`landfall tag SOURCE NAME` gives an image one more name.';
const DIGEST = '`landfall resolve REF` prints a digest.';
const COPY = '`landfall copy SOURCE DESTINATION` copies an image from any place to any other.';
const PULL = '`landfall pull REF` pulls images.';
const PUSH = '`landfall push REF` pushes images.';
const SAVE = '`landfall save REF -o FILE` writes images into an archive.';
const LOAD = '`landfall load -i FILE` reads images from an archive.';
const LOGIN = '`landfall login HOST` logs in to a registry.';
const LOGOUT = '`landfall logout HOST` logs out of a registry.';
const SERVE = '`landfall serve` is a registry over the store.';
const DOCTOR = '`landfall doctor` shows what this machine can do.';
const REFERRERS = '`landfall referrers REF` shows what refers to an image.';
const VERIFY = '`landfall verify SOURCE` proves images whole.';
const BLOB = '`landfall blob REPO@DIGEST` prints the bytes of a blob.';
const MOUNT = '`landfall mount REF DIR` mounts an image.';
const UMOUNT = '`landfall umount DIR` unmounts an image.';
const EXPORT = '`landfall export REF -o FILE` writes the files of an image as a tar.';
const CATALOG = '`landfall verify docker://HOST/` goes through all repositories of a registry.';
const NO_RUN = 'landfall runs no containers; `landfall bundle REF DIR` makes what runc starts.';
const NO_BUILD = 'landfall builds and changes no images.';
const NO_SIGNING = 'landfall makes no signatures, cosign does; --policy says which ones images need.';

/** Commands: by their first word, or by two where the second one tells. */
const COMMANDS: Readonly<Record<string, string>> = {
  list: IMAGES,
  'ls-images': IMAGES,
  image: 'The commands for images have no word before them: `landfall pull`, `images`, `inspect`, `rmi`.',
  img: IMAGES,
  i: IMAGES,
  'image ls': IMAGES,
  'images ls': IMAGES,
  'images list': IMAGES,
  'image list': IMAGES,
  'i ls': IMAGES,
  'image exists': INSPECT,
  'image check': VERIFY,
  'images check': VERIFY,
  'image inspect': INSPECT,
  'image history': INSPECT,
  'image config': RAW,
  'image manifest': RAW,
  'image tree': '`landfall tree REF` shows index, manifests and layers as a tree.',
  'image diff': '`landfall diff A B` shows the files that differ.',
  'image digest': DIGEST,
  'image rm': RMI,
  'image remove': RMI,
  'image delete': RMI,
  'images rm': RMI,
  'images remove': RMI,
  'images delete': RMI,
  'i rm': RMI,
  'image pull': PULL,
  'images pull': PULL,
  'i pull': PULL,
  'image push': PUSH,
  'images push': PUSH,
  'image tag': TAG,
  'images tag': TAG,
  'image copy': COPY,
  'image save': SAVE,
  'image load': LOAD,
  'image import': LOAD,
  'images import': LOAD,
  'image export': SAVE,
  'images export': SAVE,
  'image mount': MOUNT,
  'images mount': MOUNT,
  'image unmount': UMOUNT,
  'image umount': UMOUNT,
  'images unmount': UMOUNT,
  'image prune': GC,
  'images prune': GC,
  'image build': NO_BUILD,
  'image sign': NO_SIGNING,
  'image trust': '`--policy FILE` says which signatures images need.',
  'buildx imagetools': RAW,
  rm: RMI,
  remove: RMI,
  del: RMI,
  prune: GC,
  'system prune': GC,
  'system df': DF,
  system: `${DOCTOR.slice(0, -1)}, \`landfall df\` what the store takes.`,
  imagefsinfo: DF,
  info: DOCTOR,
  inspecti: INSPECT,
  inspectp: NO_RUN,
  stat: INSPECT,
  show: INSPECT,
  history: INSPECT,
  manifest: RAW,
  'manifest inspect': RAW,
  'manifest fetch': RAW,
  'manifest get': RAW,
  'manifest fetch-config': RAW,
  'manifest delete': RMI,
  'manifest create': NO_BUILD,
  'manifest digest': DIGEST,
  'manifest head': DIGEST,
  layers: SAVE,
  'list-tags': TAGS,
  'tag ls': TAGS,
  'repo tags': TAGS,
  'repo ls': CATALOG,
  repo: TAGS,
  catalog: CATALOG,
  search: 'landfall searches no registry; `landfall tags REPO` lists the tags of a repository.',
  digest: DIGEST,
  'manifest-digest': DIGEST,
  head: DIGEST,
  cp: COPY,
  transfer: COPY,
  mirror: '`landfall sync -f FILE` mirrors sets of images, `landfall copy SOURCE DESTINATION` one.',
  fetch: '`landfall pull --no-unpack REF` downloads an image and unpacks nothing.',
  download: PULL,
  'content fetch': '`landfall pull --no-unpack REF` downloads an image and unpacks nothing.',
  'content get': BLOB,
  'content ls': DF,
  content: BLOB,
  'blob get': BLOB,
  'blob fetch': BLOB,
  import: LOAD,
  restore: LOAD,
  backup: SAVE,
  archive: SAVE,
  auth: '`landfall login HOST` logs in to a registry, `landfall logout HOST` out of it.',
  'auth login': LOGIN,
  'auth logout': LOGOUT,
  'registry login': LOGIN,
  'registry logout': LOGOUT,
  'registry serve': SERVE,
  registry: SERVE,
  validate: VERIFY,
  check: '`landfall fsck` checks the store, `landfall verify SOURCE` proves images whole.',
  repair: '`landfall fsck --repair` repairs the store.',
  discover: REFERRERS,
  artifact: REFERRERS,
  'artifact list': REFERRERS,
  'artifact tree': REFERRERS,
  attach: 'landfall makes no artifacts, oras does; `landfall referrers REF` shows those of an image.',
  unmount: UMOUNT,
  snapshot: '`landfall mounts REF` prints the mounts of an image, `landfall df` what all take.',
  snapshots: '`landfall mounts REF` prints the mounts of an image, `landfall df` what all take.',
  extract: '`landfall unpack REF DIR` writes the files of an image into a directory.',
  flatten: EXPORT,
  'raw unpack': '`landfall unpack REF DIR` writes the files of an image into a directory.',
  version: '`landfall --version` prints the version.',
  run: NO_RUN,
  create: NO_RUN,
  start: NO_RUN,
  stop: NO_RUN,
  exec: NO_RUN,
  ps: NO_RUN,
  container: NO_RUN,
  containers: NO_RUN,
  c: NO_RUN,
  task: NO_RUN,
  tasks: NO_RUN,
  t: NO_RUN,
  build: NO_BUILD,
  buildx: NO_BUILD,
  commit: NO_BUILD,
  append: NO_BUILD,
  mutate: NO_BUILD,
  rebase: NO_BUILD,
  repack: NO_BUILD,
  insert: NO_BUILD,
  index: NO_BUILD,
  sign: NO_SIGNING,
  'standalone-sign': NO_SIGNING,
  'standalone-verify': '`landfall verify --policy FILE SOURCE` verifies signatures.',
  proxy: '`landfall serve --pull-through` fills the store on demand.',
};

/** What there is a command for here too, but which takes other words. */
const OTHERWISE: Readonly<Record<string, string>> = {
  config: RAW,
  ls: `${TAGS.slice(0, -1)}, \`landfall images\` the images of the store.`,
  blob: BLOB,
  unpack:
    '`landfall bundle REF DIR` makes a runtime bundle, `landfall unpack REF DIR` writes the files alone.',
};

const NO_TLS = '--plain-http speaks HTTP, --insecure trusts any certificate.';
const OUTPUT = '--output json prints all of it, for programs.';
const PLATFORM = '--platform OS/ARCH chooses a platform.';
const DEBUG = '--log-level debug tells more.';

/** Options. */
const OPTIONS: Readonly<Record<string, string>> = {
  '--tls-verify': NO_TLS,
  '--src-tls-verify': NO_TLS,
  '--dest-tls-verify': NO_TLS,
  '--skip-verify': NO_TLS,
  '-k': NO_TLS,
  '--src-no-creds': '--src-creds gives credentials for the source alone.',
  '--src-authfile': '--authfile FILE has the credentials of all registries.',
  '--dest-authfile': '--authfile FILE has the credentials of all registries.',
  '--registry-config': '--authfile FILE has the credentials of all registries.',
  '--cert-dir': '--ca FILE trusts one more authority; --hosts-dir has what is configured by host.',
  '--src-cert-dir': '--ca FILE trusts one more authority; --hosts-dir has what is configured by host.',
  '--dest-cert-dir': '--ca FILE trusts one more authority; --hosts-dir has what is configured by host.',
  '--user': '--creds USER[:PASSWORD] gives credentials.',
  '--username': '--creds USER[:PASSWORD] gives credentials.',
  '--password': '`landfall login` asks for a password; --creds USER reads one from standard input.',
  '-p': '`landfall login` asks for a password; --creds USER reads one from standard input.',
  '--override-os': PLATFORM,
  '--override-arch': PLATFORM,
  '--override-variant': PLATFORM,
  '--os': PLATFORM,
  '--arch': PLATFORM,
  '--multi-arch': '--all copies all platforms.',
  '-a': '--all, or --all-platforms of pull, means all platforms.',
  '--all-tags': '`landfall sync -f FILE` copies many tags; `landfall tags REPO` lists them.',
  '--format': OUTPUT,
  '--json': OUTPUT,
  '--no-trunc': OUTPUT,
  '--digests': OUTPUT,
  '-o': OUTPUT,
  '--pretty': OUTPUT,
  '--verbose': DEBUG,
  '--debug': DEBUG,
  '-v': '-V prints the version, --log-level debug tells more.',
  '-D': DEBUG,
  '--silent': '-q prints only digests; --progress none shows no progress.',
  '--no-progress': '--progress none shows no progress.',
  '--jobs': '--concurrency N says how many layers are downloaded at once.',
  '-j': '--concurrency N says how many layers are downloaded at once.',
  '--parallel': '--concurrency N says how many layers are downloaded at once.',
  '--max-concurrent-downloads': '--concurrency N says how many layers are downloaded at once.',
  '--force': '`landfall rmi` needs no force; what is in use stays.',
  '--address': '--cri ADDRESS of `landfall daemon` says where it listens; other commands use --root.',
  '--namespace': 'A store has no namespaces; --root DIR chooses another store.',
  '-n': 'A store has no namespaces; --root DIR chooses another store.',
  '--data-root': '--root DIR chooses the store.',
  '--storage-driver': '--snapshots overlay or native says how layers are kept.',
  '--snapshotter': '--snapshots overlay or native says how layers are kept.',
  '--insecure-policy': 'Without a policy every image is accepted; --policy FILE names one.',
  '--disable-content-trust': 'Without a policy every image is accepted; --policy FILE names one.',
  '--sign-by': NO_SIGNING,
  '--recursive': '--referrers copies also what refers to an image.',
  '--digest-tags': '--referrers copies also what refers to an image, cosign’s tags included.',
};

/** What to type here in place of a command of a peer; undefined where none has it. */
export function peerCommand(words: readonly string[]): string | undefined {
  const [first = '', second = ''] = words;
  return own(COMMANDS, `${first} ${second}`) ?? own(COMMANDS, first);
}

/** The same for a command that there is here, with words that it does not take or too few. */
export function peerUse(name: string, operands: readonly string[]): string | undefined {
  return own(COMMANDS, `${name} ${operands[0] ?? ''}`) ?? own(OTHERWISE, name);
}

/** What to type here in place of an option of a peer; undefined where none has it. */
export function peerOption(flag: string): string | undefined {
  return own(OPTIONS, flag);
}

function own(words: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(words, key) ? words[key] : undefined;
}
