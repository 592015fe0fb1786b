import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { isLong } from './rounds.js';

/**
 * How a user may install: with what packages run when they are, or without and with their building
 * afterwards.
 */
export const INSTALLATIONS = ['npm install', 'npm install --ignore-scripts, then npm rebuild'] as const;
export type Installation = (typeof INSTALLATIONS)[number];

/**
 * Native modules are compiled here, since nobody may have compiled them for this machine. How well they are
 * optimized is not what is tested, and takes two thirds of the time; the long run builds as users do.
 */
const BUILD: Readonly<Record<string, string>> = {
  JOBS: 'max',
  ...(isLong ? {} : { CFLAGS: '-O0', CXXFLAGS: '-O0' }),
};

const OF_OUR_NPM =
  /^(npm_(package|lifecycle)_|npm_(command|execpath|node_execpath)$|npm_config_(local_|global_)?prefix$|INIT_CWD$|NODE_|VITEST)/;

/**
 * Installs an archive of landfall in an empty project. @param node the program of the Node.js that npm runs
 * on
 */
export async function installPackage(
  project: string,
  archive: string,
  installation: Installation,
  node: string = process.execPath,
): Promise<void> {
  await mkdir(project, { recursive: true });
  await writeFile(join(project, 'package.json'), '{ "private": true }');
  const scripts = installation === 'npm install' ? [] : ['--ignore-scripts'];
  await npm(project, node, ['install', '--prefer-offline', '--no-audit', '--no-fund', ...scripts, archive]);
  if (scripts.length > 0) await npm(project, node, ['rebuild']);
}

/** Runs npm in a directory, on a Node.js that it also finds first on its path. @returns what it printed */
export async function npm(cwd: string, node: string, args: readonly string[]): Promise<string> {
  const path = [dirname(node), process.env['PATH'] ?? ''].join(delimiter);
  // What tells of the npm that runs these tests would make this one work for their package.
  const outside = Object.entries(process.env).filter(([name]) => !OF_OUR_NPM.test(name));
  const { stdout } = await promisify(execFile)('npm', args, {
    cwd,
    env: { ...Object.fromEntries(outside), ...BUILD, PATH: path },
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}
