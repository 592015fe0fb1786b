import { join } from 'node:path';
import { buildOnce } from './built-image.js';

/** What {@link realImages} needs on the machine, and a Debian mirror that apt reaches. */
export const REAL_IMAGE_PEERS: readonly string[] = ['mmdebstrap', 'umoci', 'skopeo', 'apt-get', 'getfattr'];

/**
 * Two images as people have them. The layer of `minbase` is the archive that mmdebstrap writes, byte for
 * byte; `tools` has what differs from it once python3, perl and git are installed, as umoci finds it. skopeo
 * makes their layers anew as zstd.
 */
const BUILD = String.raw`
set -eu
work=$1
mkdir -p "$work/image"
cd "$work"
mmdebstrap --quiet --variant=minbase trixie minbase.tar & minbase=$!
mmdebstrap --quiet --variant=minbase --include=python3,perl,git trixie tools.tar & tools=$!
wait $minbase
wait $tools

umoci init --layout image/gzip
umoci new --image image/gzip:minbase
umoci raw add-layer --image image/gzip:minbase --history.created_by 'mmdebstrap minbase' minbase.tar
umoci unpack --image image/gzip:minbase bundle
find bundle/rootfs -mindepth 1 -delete
tar -C bundle/rootfs -xpf tools.tar --xattrs --xattrs-include='*' --numeric-owner
umoci repack --history.created_by 'python3, perl and git' --image image/gzip:tools bundle
umoci gc --layout image/gzip
rm -rf bundle minbase.tar tools.tar

skopeo copy -q --dest-compress-format zstd:chunked oci:image/gzip:tools oci:image/zstd-chunked:tools & chunked=$!
for tag in minbase tools; do
  skopeo copy -q --dest-compress-format zstd oci:image/gzip:$tag oci:image/zstd:$tag
done
wait $chunked
`;

/** OCI layouts, by how the layers in them are compressed. */
export interface RealImages {
  /** With the tags `minbase` and `tools`. */
  readonly gzip: string;
  /** With the tags `minbase` and `tools`. */
  readonly zstd: string;
  /** With the tag `tools`. */
  readonly zstdChunked: string;
}

export async function realImages(): Promise<RealImages> {
  const built = await buildOnce('real-images', BUILD);
  return {
    gzip: join(built, 'gzip'),
    zstd: join(built, 'zstd'),
    zstdChunked: join(built, 'zstd-chunked'),
  };
}
