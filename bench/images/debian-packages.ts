import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { output } from '../bound-process.js';

/**
 * Downloads Debian packages, as the machine's own sources of apt have them, and unpacks their files into one
 * new directory below `scratch`, which is returned. Nothing is installed.
 */
export async function treeOfPackages(
  scratch: string,
  name: string,
  packages: readonly string[],
): Promise<string> {
  const downloads = join(scratch, `${name}-packages`);
  const tree = join(scratch, name);
  await mkdir(downloads);
  await mkdir(tree);
  // apt's own user may not write here, and apt would say so at every package.
  const apt = ['apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download', ...packages];
  await output('env', ['-C', downloads, ...apt]);
  for (const file of await readdir(downloads)) {
    await output('dpkg-deb', ['-x', join(downloads, file), tree]);
  }
  await rm(downloads, { recursive: true });
  return tree;
}
