import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Programs that tests hold landfall against, and what brings each: a Debian package. */
export const PEERS: Readonly<Record<string, string>> = {
  'docker-registry': 'docker-registry',
  skopeo: 'skopeo',
  cosign: 'cosign',
  umoci: 'umoci',
  buildah: 'buildah',
  podman: 'podman',
  // Of which podman makes what holds a pod's namespaces.
  catatonit: 'catatonit',
  mmdebstrap: 'mmdebstrap',
  oras: 'oras',
  bsdtar: 'libarchive-tools',
  setcap: 'libcap2-bin',
  getfattr: 'attr',
  python3: 'python3',
  nginx: 'nginx-light',
  'mkfs.ext4': 'e2fsprogs',
  // With the library that its program shows to be there.
  igzip: 'isal',
  runc: 'runc',
  busybox: 'busybox-static',
  filefrag: 'e2fsprogs',
  'mkfs.btrfs': 'btrfs-progs',
  'mkfs.xfs': 'xfsprogs',
  newuidmap: 'uidmap',
  ip: 'iproute2',
  // With golang-github-kubernetes-cri-api-dev, the stubs of CRI, and
  // golang-github-{containerd-containerd,containerd-continuity, stretchr-testify}-dev and
  // golang-google-grpc-dev, containerd's suite for snapshotters.
  go: 'golang-go',
  containerd: 'containerd',
  ctr: 'containerd',
  kustomize: 'kustomize',
  'systemd-analyze': 'systemd',
  // With python3-seccomp, which loads a filter.
  scmp_sys_resolver: 'seccomp',
  // With fonts-dejavu-core, without which a page has no letters.
  chromium: 'chromium',
  tmux: 'tmux',
  // bash is everywhere.
  zsh: 'zsh',
  fish: 'fish',
  man: 'man-db',
  mandoc: 'mandoc',
};

/** The path of a program on PATH, or undefined. */
export function peer(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * Why tests that need these programs cannot run here, or undefined when they can:
 * `describe.skipIf(needsPeer('skopeo') !== undefined)`. Throws instead under LANDFALL_REQUIRE_PEERS=1, so
 * that nothing is skipped there.
 */
export function needsPeer(...names: string[]): string | undefined {
  const missing = names.filter((name) => peer(name) === undefined);
  if (missing.length === 0) return undefined;
  const reason = `not on PATH: ${missing.join(', ')}`;
  if (process.env['LANDFALL_REQUIRE_PEERS'] === '1')
    throw new Error(`LANDFALL_REQUIRE_PEERS=1, but ${reason}`);
  return reason;
}
