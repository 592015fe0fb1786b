import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** The versions of Node.js that landfall supports, and that it is tested with when it is packed. */
export const NODE_VERSIONS = ['20', '22', '24', '26'] as const;
export type NodeVersion = (typeof NODE_VERSIONS)[number];

/**
 * The programs of these versions, from npm's registry; npm keeps them in its own cache, so they are downloaded once.
 *
 * @returns for each version the path of its `node`
 */
export async function nodePrograms(): Promise<Readonly<Record<NodeVersion, string>>> {
  const paths: Partial<Record<NodeVersion, string>> = {};
  for (const version of NODE_VERSIONS) {
    const { stdout } = await promisify(execFile)('npx', [
      ...['--yes', '--prefer-offline', '--package', `node@${version}`, '--'],
      ...['node', '--print', 'process.execPath'],
    ]);
    paths[version] = stdout.trim();
  }
  return paths as Readonly<Record<NodeVersion, string>>;
}
