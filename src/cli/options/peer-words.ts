/** Words of docker, podman, skopeo, crane, regctl, oras, ctr, crictl and umoci, and what is typed here. */

/**
 * Each hint with the commands of peers that it is for: by their first word, or by two where the second one
 * tells.
 */
const COMMANDS: ReadonlyMap<string, string> = byName({
  '`landfall images` lists the images of the store.':
    'list, ls-images, img, i, image ls, images ls, images list, image list, i ls',
  'The commands for images have no word before them: `landfall pull`, `images`, `inspect`, `rmi`.': 'image',
  '`landfall inspect REF` shows the parts of an image.':
    'image exists, image inspect, image history, inspecti, stat, show, history',
  '`landfall verify SOURCE` proves images whole.': 'image check, images check, validate',
  '`landfall inspect --raw REF` prints an index or a manifest, `--config` the config.':
    'image config, image manifest, buildx imagetools, manifest, manifest inspect, manifest fetch, manifest get, manifest fetch-config',
  '`landfall tree REF` shows index, manifests and layers as a tree.': 'image tree',
  '`landfall diff A B` shows the files that differ.': 'image diff',
  '`landfall resolve REF` prints a digest.':
    'image digest, manifest digest, manifest head, digest, manifest-digest, head',
  '`landfall rmi NAME` removes images of the store, `landfall delete docker://REF` one at a registry.':
    'image rm, image remove, image delete, images rm, images remove, images delete, i rm, rm, remove, del, manifest delete',
  '`landfall pull REF` pulls images.': 'image pull, images pull, i pull, download',
  '`landfall push REF` pushes images.': 'image push, images push',
  '`landfall tag SOURCE NAME` gives an image one more name.': 'image tag, images tag',
  '`landfall copy SOURCE DESTINATION` copies an image from any place to any other.':
    'image copy, cp, transfer',
  '`landfall save REF -o FILE` writes images into an archive.':
    'image save, image export, images export, layers, backup, archive',
  '`landfall load -i FILE` reads images from an archive.':
    'image load, image import, images import, import, restore',
  '`landfall mount REF DIR` mounts an image.': 'image mount, images mount',
  '`landfall umount DIR` unmounts an image.': 'image unmount, image umount, images unmount, unmount',
  '`landfall gc` removes what no image needs.': 'image prune, images prune, prune, system prune',
  'landfall builds and changes no images.':
    'image build, manifest create, build, buildx, commit, append, mutate, rebase, repack, insert, index',
  'landfall makes no signatures, cosign does; --policy says which ones images need.':
    'image sign, sign, standalone-sign',
  '`--policy FILE` says which signatures images need.': 'image trust',
  '`landfall df` shows what the store takes.': 'system df, imagefsinfo, content ls',
  '`landfall doctor` shows what this machine can do, `landfall df` what the store takes.': 'system',
  '`landfall doctor` shows what this machine can do.': 'info',
  'landfall runs no containers; `landfall bundle REF DIR` makes what runc starts.':
    'inspectp, run, create, start, stop, exec, ps, container, containers, c, task, tasks, t',
  '`landfall tags REPO` lists the tags of a repository.': 'list-tags, tag ls, repo tags, repo',
  '`landfall catalog HOST` lists the repositories of a registry.': 'repo ls, list-repos',
  'landfall searches no registry; `landfall tags REPO` lists the tags of a repository.': 'search',
  '`landfall sync -f FILE` mirrors sets of images, `landfall copy SOURCE DESTINATION` one.': 'mirror',
  '`landfall pull --no-unpack REF` downloads an image and unpacks nothing.': 'fetch, content fetch',
  '`landfall blob REPO@DIGEST` prints the bytes of a blob.': 'content get, content, blob get, blob fetch',
  '`landfall login HOST` logs in to a registry, `landfall logout HOST` out of it.': 'auth',
  '`landfall login HOST` logs in to a registry.': 'auth login, registry login',
  '`landfall logout HOST` logs out of a registry.': 'auth logout, registry logout',
  '`landfall serve` is a registry over the store.': 'registry serve, registry',
  '`landfall fsck` checks the store, `landfall verify SOURCE` proves images whole.': 'check',
  '`landfall fsck --repair` repairs the store.': 'repair',
  '`landfall referrers REF` shows what refers to an image.':
    'discover, artifact, artifact list, artifact tree',
  'landfall makes no artifacts, oras does; `landfall referrers REF` shows those of an image.': 'attach',
  '`landfall mounts REF` prints the mounts of an image, `landfall df` what all take.': 'snapshot, snapshots',
  '`landfall unpack REF DIR` writes the files of an image into a directory.': 'extract, raw unpack',
  '`landfall export REF -o FILE` writes the files of an image as a tar.': 'flatten',
  '`landfall --version` prints the version.': 'version',
  '`landfall verify --policy FILE SOURCE` verifies signatures.': 'standalone-verify',
  '`landfall serve --pull-through` fills the store on demand.': 'proxy',
});

/** The same for commands that there are here too, but which take other words. */
const OTHERWISE: ReadonlyMap<string, string> = byName({
  '`landfall inspect --raw REF` prints an index or a manifest, `--config` the config.': 'config',
  '`landfall tags REPO` lists the tags of a repository, `landfall images` the images of the store.': 'ls',
  '`landfall blob REPO@DIGEST` prints the bytes of a blob.': 'blob',
  '`landfall bundle REF DIR` makes a runtime bundle, `landfall unpack REF DIR` writes the files alone.':
    'unpack',
});

/** The same for options. */
const OPTIONS: ReadonlyMap<string, string> = byName({
  '--plain-http speaks HTTP, --insecure trusts any certificate.': '--tls-verify, --skip-verify, -k',
  '--src-plain-http speaks HTTP, --src-insecure trusts any certificate.': '--src-tls-verify',
  '--dest-plain-http speaks HTTP, --dest-insecure trusts any certificate.': '--dest-tls-verify',
  '--src-creds gives credentials for the source alone.': '--src-no-creds',
  '--authfile FILE has the credentials of all registries.':
    '--src-authfile, --dest-authfile, --registry-config',
  '--ca FILE trusts one more authority; --hosts-dir has the settings of each host.': '--cert-dir',
  '--src-ca FILE trusts one more authority; --hosts-dir has the settings of each host.': '--src-cert-dir',
  '--dest-ca FILE trusts one more authority; --hosts-dir has the settings of each host.': '--dest-cert-dir',
  '--creds USER[:PASSWORD] gives credentials.': '--user, --username',
  '`landfall login` asks for a password; --creds USER reads one from standard input.': '--password, -p',
  '--platform OS/ARCH chooses a platform.':
    '--override-os, --override-arch, --override-variant, --os, --arch',
  '--all copies all platforms.': '--multi-arch',
  '--all, or --all-platforms of pull, means all platforms.': '-a',
  '`landfall sync -f FILE` copies many tags; `landfall tags REPO` lists them.': '--all-tags',
  '--output json prints all of it, for programs.': '--format, --json, --no-trunc, --digests, -o, --pretty',
  '--log-level debug tells more.': '--verbose, --debug, -D',
  '-V prints the version, --log-level debug tells more.': '-v',
  '-q prints only digests; --progress none shows no progress.': '--silent',
  '--progress none shows no progress.': '--no-progress',
  '--concurrency N says how many layers are downloaded at once.':
    '--jobs, -j, --parallel, --max-concurrent-downloads',
  '`landfall rmi` needs no force; content in use stays.': '--force',
  '--cri ADDRESS of `landfall daemon` says where it listens; other commands use --root.': '--address',
  'A store has no namespaces; --root DIR chooses another store.': '--namespace, -n',
  '--root DIR chooses the store.': '--data-root',
  '--snapshots overlay or native says how layers are kept.': '--storage-driver, --snapshotter',
  'Without a policy every image is accepted; --policy FILE names one.':
    '--insecure-policy, --disable-content-trust',
  'landfall makes no signatures, cosign does; --policy says which ones images need.': '--sign-by',
  'Signatures, SBOMs and attestations are copied too; --no-referrers leaves them out.': '--recursive',
  'Signatures, SBOMs and attestations are copied too, by cosign’s tags as well.': '--digest-tags',
});

function byName(hints: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(hints).flatMap(([hint, names]) => names.split(', ').map((name) => [name, hint])),
  );
}

/** The command for a command of a peer; undefined where no peer has it. */
export function peerCommand(words: readonly string[]): string | undefined {
  const [first = '', second = ''] = words;
  return COMMANDS.get(`${first} ${second}`) ?? COMMANDS.get(first);
}

/** The same for a command that there is here, with words that it does not take or too few. */
export function peerUse(name: string, operands: readonly string[]): string | undefined {
  return COMMANDS.get(`${name} ${operands[0] ?? ''}`) ?? OTHERWISE.get(name);
}

/** The option for an option of a peer; undefined where no peer has it. */
export function peerOption(flag: string): string | undefined {
  return OPTIONS.get(flag);
}
