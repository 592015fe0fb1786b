import { buildOnce, listedDirectories } from './built-image.js';
import { type DockerRegistry, startDockerRegistry } from './docker-registry.js';
import { peerOutput } from './landfall-command.js';

/** What {@link serveDebianImage} needs on the machine, and a Debian mirror that apt reaches. */
export const DEBIAN_IMAGE_PEERS: readonly string[] = [
  'mmdebstrap',
  'umoci',
  'skopeo',
  'apt-get',
  'setcap',
  'getfattr',
];

/**
 * Builds a real image: Debian as mmdebstrap makes it, then layers by umoci repack with packages and deletes,
 * and one by umoci raw add-layer with what repack does not make. The mtimes are what they are: only the
 * layers' equality counts.
 */
const BUILD = String.raw`
set -eu
work=$1
mkdir -p "$work"
cd "$work"
mmdebstrap --quiet --variant=minbase --include=libcap2-bin trixie base.tar
umoci init --layout image
umoci new --image image:trixie
umoci unpack --image image:trixie bundle
repack() { umoci repack --refresh-bundle --history.created_by "$1" --image image:trixie bundle; }

tar -C bundle/rootfs -xpf base.tar --xattrs --xattrs-include='*' --numeric-owner
repack 'mmdebstrap minbase'

mkdir debs && cd debs
apt-get download -q hello tree file libmagic1t64 libmagic-mgc >/dev/null
cd ..
for deb in debs/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -C bundle/rootfs -xpf - --numeric-owner; done
rm -rf bundle/rootfs/usr/share/man bundle/rootfs/usr/share/doc/apt bundle/rootfs/etc/cron.daily
rm -f bundle/rootfs/usr/bin/tac bundle/rootfs/etc/motd
repack 'packages, and deletes'

mkdir -p bundle/rootfs/srv/data
printf 'one' > bundle/rootfs/srv/data/a; ln bundle/rootfs/srv/data/a bundle/rootfs/srv/data/b
cp bundle/rootfs/usr/bin/hello bundle/rootfs/srv/data/ping
setcap cap_net_raw+ep bundle/rootfs/srv/data/ping
setfattr -n user.origin -v landfall bundle/rootfs/srv/data/a
mkfifo bundle/rootfs/srv/data/pipe
mknod bundle/rootfs/srv/data/null c 1 3
rm -rf bundle/rootfs/usr/share/doc/hello && printf 'a file now' > bundle/rootfs/usr/share/doc/hello
rm -rf bundle/rootfs/usr/games && ln -s bin bundle/rootfs/usr/games
chown 1234:4321 bundle/rootfs/srv/data/b
touch -d '1969-12-31 23:59:58.25' bundle/rootfs/srv/data/a
repack 'links, capabilities, devices, type changes'

mkdir -p raw/srv/data raw/usr/share/locale raw/opt/new
printf 'two' > raw/srv/data/c
: > raw/srv/data/.wh.pipe
: > raw/usr/share/locale/.wh..wh..opq
printf 'kept' > raw/usr/share/locale/only
chmod 4711 raw/opt/new
tar -C raw -cf raw.tar --numeric-owner --no-recursion srv/data/c srv/data/.wh.pipe usr/share/locale usr/share/locale/.wh..wh..opq usr/share/locale/only opt opt/new
umoci raw add-layer --image image:trixie raw.tar
umoci gc --layout image
rm -rf bundle base.tar raw raw.tar debs
`;

/** An OCI layout that holds the image under the tag `trixie`; it is everybody's, and only read. */
export function debianImage(): Promise<string> {
  return buildOnce('debian', BUILD);
}

export interface ServedDebianImage extends AsyncDisposable {
  readonly registry: DockerRegistry;
  readonly reference: string;
  /** The OCI layout that it was pushed from, under the tag `trixie`. */
  readonly layout: string;
  /** As {@link listedDirectories}. */
  readonly listed: ReadonlySet<string>;
}

/** The image in a docker-registry of its own, pushed there by skopeo. */
export async function serveDebianImage(): Promise<ServedDebianImage> {
  const layout = await debianImage();
  const listed = await listedDirectories(layout, 'trixie');
  const registry = await startDockerRegistry();
  const reference = `${registry.address}/debian:trixie`;
  const names = [`oci:${layout}:trixie`, `docker://${reference}`];
  await peerOutput('skopeo', ['copy', '-q', '--dest-tls-verify=false', ...names]);
  return { registry, reference, layout, listed, [Symbol.asyncDispose]: () => registry.stop() };
}
