import type { BenchEnvironment, Contestant, PublishedImage } from '../contract.js';
import { measureCommand } from '../measure.js';
import { versionOf } from '../programs.js';

export const SHELL_FLOOR = 'shell floor';

/**
 * The least that a pull has to do, by a pipeline of the quickest programs, two layers at a time: download,
 * SHA-256, inflate, SHA-256, untar. Both digests are checked. It keeps no blob, no metadata and no whiteouts,
 * and syncs nothing.
 */
export async function shellFloor(
  { programs, registry }: BenchEnvironment,
  { repository, layers }: PublishedImage,
): Promise<Contestant[]> {
  if (!programs.have('bash', 'curl', 'igzip', 'tar')) return [];
  const lines = layers.flatMap(({ digest, diffId }, index) => [
    `http://${registry.address}/v2/${repository}/blobs/${digest}`,
    digest,
    diffId,
    String(index),
  ]);
  return [
    {
      name: SHELL_FLOOR,
      version: `${await versionOf('curl')}, ${await versionOf('igzip')}, ${await versionOf('tar')}`,
      run: ({ directory }) =>
        measureCommand('bash', ['-c', ALL_LAYERS, 'floor', directory, ONE_LAYER, ...lines]),
    },
  ];
}

const ALL_LAYERS = `
cd "$1" && one=$2 && shift 2
printf '%s\\0' "$@" | xargs -0 -n 4 -P 2 bash -c "$one" layer
`;

// The digests go through named pipes rather than process substitutions, for which bash would not wait.
const ONE_LAYER = `
set -eo pipefail
url=$1 digest=$2 diff_id=$3 layer=$4
mkdir "$layer"
mkfifo "$layer.blob" "$layer.tar"
sha256sum < "$layer.blob" > "$layer.digest" & one=$!
sha256sum < "$layer.tar" > "$layer.diff-id" & two=$!
curl -sSf "$url" | tee "$layer.blob" | igzip -d -c | tee "$layer.tar" | tar -x --numeric-owner -C "$layer"
wait $one
wait $two
read -r got _ < "$layer.digest"
test "sha256:$got" = "$digest"
read -r got _ < "$layer.diff-id"
test "sha256:$got" = "$diff_id"
`;
