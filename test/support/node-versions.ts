import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** The versions of Node.js that landfall supports, and that the nightly run and releases test it with. */
export const NODE_VERSIONS = ['20', '22', '24', '26'] as const;
export type NodeVersion = (typeof NODE_VERSIONS)[number];

/**
 * The programs of these versions, from npm's registry; npm keeps them in its own cache, so they are
 * downloaded once.
 *
 * @returns for each version the path of its `node`
 */
export async function nodePrograms(
  versions: readonly NodeVersion[],
): Promise<ReadonlyMap<NodeVersion, string>> {
  const paths = new Map<NodeVersion, string>();
  for (const version of versions) {
    const { stdout } = await promisify(execFile)('npx', [
      ...['--yes', '--prefer-offline', '--package', `node@${version}`, '--'],
      ...['node', '--print', 'process.execPath'],
    ]);
    paths.set(version, stdout.trim());
  }
  return paths;
}
