import type { ContainerdNode } from './containerd-node.js';
import { all, grpcClient, stream } from './grpc-client.js';
import { outputAt } from './mount-namespace.js';

interface ListedSnapshot {
  readonly name: string;
  readonly parent: string;
  readonly kind: string;
}

/**
 * The snapshots that containerd knows of landfall's, in the namespace of its CRI, sorted: key, parent and
 * kind.
 */
export async function knownToContainerd(node: ContainerdNode): Promise<readonly string[]> {
  const printed = await node.containerd.ctr('-n', 'k8s.io', 'snapshots', '--snapshotter', 'landfall', 'ls');
  const [, ...rows] = printed.trim().split('\n');
  // A key may hold a space, and columns lie further apart.
  return rows
    .map((row) => row.trim().split(/\s{2,}/))
    .map((cells) => cells.join(' ').toLowerCase())
    .sort();
}

/**
 * The snapshots that landfall holds for containerd, by the names that containerd gave them there, in the same
 * form.
 */
export async function retainedByLandfall(node: ContainerdNode): Promise<readonly string[]> {
  const service = 'containerd.services.snapshots.v1.Snapshots';
  const client = grpcClient('containerd-snapshots-v1.proto', service, node.snapshotsSocket);
  try {
    const pages = await all(stream<{ info: readonly ListedSnapshot[] }>(client, 'List'));
    return pages
      .flatMap(({ info }) => info)
      .map(({ name, parent, kind }) => [keyIn(name), keyIn(parent), kind])
      .map((cells) =>
        cells
          .filter((cell) => cell !== '')
          .join(' ')
          .toLowerCase(),
      )
      .sort();
  } finally {
    client.close();
  }
}

/**
 * What containerd calls what it names `k8s.io/17/KEY` in a snapshotter; a chain of landfall's has one name.
 */
function keyIn(name: string): string {
  return name.replace(/^[^/]+\/\d+\//, '');
}

/** Has containerd collect its garbage, and waits for it. */
export async function collectOfContainerd(node: ContainerdNode): Promise<void> {
  const ctr = (...args: string[]): Promise<string> => node.containerd.ctr('-n', 'k8s.io', 'leases', ...args);
  const lease = (await ctr('create')).trim();
  await ctr('rm', '--sync', lease);
}

const DATABASE = new URL('../../dist/src/metadata/index.js', import.meta.url);

/** SQLite would not find a database in another namespace. */
const COUNT_LEASES = `
import { MetadataDatabase } from ${JSON.stringify(DATABASE.href)};
const database = await MetadataDatabase.open(process.argv[1] + '/metadata.db', { create: false });
console.log((await database.all('SELECT id FROM leases')).length);
await database.close();
`;

/** How many leases the node's store has, of whomever. */
export async function countLeases({ place, root }: ContainerdNode): Promise<number> {
  return Number(await outputAt(place, process.execPath, '--input-type=module', '-e', COUNT_LEASES, root));
}
