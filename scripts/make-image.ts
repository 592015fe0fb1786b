import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layOutCommand } from './command-tree.js';
import { runProgram } from './release/run-program.js';

/*
 * The image of landfall, of what is built: `npm run image [-- NAME [ARGUMENT OF BUILDAH…]]`, as root, on Debian with
 * mmdebstrap and buildah. It has Debian's Node.js, the libraries that this needs, the certificate authorities that Debian
 * trusts, and the package: no shell and no package manager.
 */

const REPOSITORY = join(import.meta.dirname, '..', '..');
const SUITE = 'trixie';
/** Debian's base-files has the links that a merged /usr needs, and /etc/os-release for scanners. */
const PACKAGES = ['base-files', 'nodejs', 'ca-certificates', 'libisal2'];
/** What of these the command does not use, and what mmdebstrap took from this machine. */
const LEFT_OUT: readonly string[] = [
  ...['usr/bin', 'usr/sbin', 'usr/share/doc', 'usr/share/man', 'usr/share/locale', 'var/cache', 'var/lib'],
  // Of the programs that would keep the certificates up to date.
  ...['usr/share/perl5', 'usr/share/debconf', 'usr/share/bash-completion', 'etc/debconf.conf'],
  ...['etc/apt', 'etc/fstab', 'etc/hostname', 'etc/resolv.conf'],
];

const { version } = JSON.parse(await readFile(join(REPOSITORY, 'package.json'), 'utf8')) as {
  version: string;
};
const [name = `landfall:${version}`, ...more] = process.argv.slice(2);
const root = await mkdtemp(join(tmpdir(), 'landfall-image-'));
try {
  const cwd = REPOSITORY;
  const tree = join(root, 'tree');
  const include = `--include=${PACKAGES.join(',')}`;
  await runProgram('mmdebstrap', ['--quiet', '--variant=extract', include, SUITE, tree], { cwd });
  await rename(join(tree, 'usr/bin/node'), join(root, 'node'));
  await bundleAuthorities(tree);
  for (const path of LEFT_OUT) await rm(join(tree, path), { recursive: true, force: true });
  await mkdir(join(tree, 'usr/bin'), { recursive: true });
  await rename(join(root, 'node'), join(tree, 'usr/bin/node'));
  await layOutCommand(REPOSITORY, join(tree, 'usr'));
  const file = ['--file', join(REPOSITORY, 'deploy', 'image', 'Containerfile')];
  const labels = ['--label', `org.opencontainers.image.version=${version}`];
  await runProgram('buildah', [...more, 'build', ...file, ...labels, '--tag', name, tree], {
    cwd,
    show: true,
  });
} finally {
  await rm(root, { recursive: true, force: true });
}

/** Writes the file that programs read certificate authorities from; Debian's script for it is not run here. */
async function bundleAuthorities(tree: string): Promise<void> {
  const directory = join(tree, 'usr/share/ca-certificates/mozilla');
  const names = (await readdir(directory)).sort();
  const texts = await Promise.all(names.map((each) => readFile(join(directory, each), 'utf8')));
  await mkdir(join(tree, 'etc/ssl/certs'), { recursive: true });
  await writeFile(join(tree, 'etc/ssl/certs/ca-certificates.crt'), texts.join(''));
}
