import { execFile } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** How a user may install: with the scripts of packages run when they are, or without. */
export const INSTALLATIONS = ['npm install', 'npm install --ignore-scripts'] as const;
export type Installation = (typeof INSTALLATIONS)[number];

/** All that there is on the path while it is installed: neither a compiler, nor make, nor python. */
const TOOLS = ['npm', 'sh', 'env'];

const OF_OUR_NPM =
  /^(npm_(package|lifecycle)_|npm_(command|execpath|node_execpath)$|npm_config_(local_|global_)?prefix$|INIT_CWD$|NODE_|VITEST)/;

/**
 * Installs an archive of landfall in an empty project, where there is no compiler. @param node the program of
 * the Node.js that npm runs on
 */
export async function installPackage(
  project: string,
  archive: string,
  installation: Installation,
  node: string = process.execPath,
): Promise<void> {
  const tools = join(project, 'tools');
  await mkdir(tools, { recursive: true });
  for (const tool of TOOLS) await symlink(await programOf(tool), join(tools, tool));
  await symlink(node, join(tools, 'node'));
  await writeFile(join(project, 'package.json'), '{ "private": true }');
  const args = [...installation.split(' ').slice(1), '--prefer-offline', '--no-audit', '--no-fund', archive];
  await run(project, tools, args);
}

async function programOf(name: string): Promise<string> {
  const { stdout } = await promisify(execFile)('which', [name]);
  return stdout.trim();
}

/** Runs npm in a directory, on a Node.js that it also finds first on its path. @returns what it printed */
export async function npm(cwd: string, node: string, args: readonly string[]): Promise<string> {
  return await run(cwd, [dirname(node), process.env['PATH'] ?? ''].join(delimiter), args);
}

async function run(cwd: string, path: string, args: readonly string[]): Promise<string> {
  // What tells of the npm that runs these tests would make this one work for their package.
  const outside = Object.entries(process.env).filter(([name]) => !OF_OUR_NPM.test(name));
  const { stdout } = await promisify(execFile)('npm', args, {
    cwd,
    env: { ...Object.fromEntries(outside), PATH: path },
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}
