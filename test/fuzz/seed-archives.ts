import { spawnSync } from 'node:child_process';
import {
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../../src/errors.js';
import { lsetxattr } from '../../src/system/index.js';

type Command = readonly [program: string, ...args: string[]];

const PYTHON = `
import sys, tarfile
with tarfile.open(sys.argv[1], 'w', format=getattr(tarfile, sys.argv[2]), pax_headers={'comment': 'for all'}) as t:
    t.add('tree', arcname='.', filter=lambda entry: None if 'sparse' in entry.name else entry)
`;

/**
 * Every way to write the tree that the common programs have. Files with holes are left out where they would
 * take space.
 */
function commands(archive: string): readonly Command[] {
  const gnu = (...options: string[]): Command => [
    'tar',
    '-C',
    'tree',
    '-b1',
    '-cf',
    archive,
    ...options,
    '.',
  ];
  const gnuPlain = (...options: string[]): Command => gnu('--exclude=./sparse*', ...options);
  const bsd = (format: string): Command => {
    const all = ['--exclude', './sparse*', '--xattrs', '--format', format, '.'];
    return ['bsdtar', '-C', 'tree', '-b', '1', '-cf', archive, ...all];
  };
  const python = (format: string): Command => ['python3', '-c', PYTHON, archive, format];
  return [
    ...['v7', 'ustar', 'oldgnu', 'gnu', 'posix'].map((format) => gnuPlain(`--format=${format}`)),
    gnu('--format=gnu', '-S'),
    ...['0.0', '0.1', '1.0'].map((version) => gnu('--format=posix', '-S', `--sparse-version=${version}`)),
    gnuPlain('--format=posix', '--xattrs', '--pax-option=comment=for all,gid=77'),
    ...['v7', 'ustar', 'gnutar', 'pax', 'paxr'].map(bsd),
    ...['USTAR_FORMAT', 'GNU_FORMAT', 'PAX_FORMAT'].map(python),
  ];
}

/**
 * A small tree in the formats of those programs that are here. @param directory - an empty one, for what is
 * made on the way
 */
export function seedArchives(directory: string): Buffer[] {
  makeTree(join(directory, 'tree'));
  const archive = join(directory, 'archive');
  return commands(archive).flatMap(([program, ...args]) => {
    rmSync(archive, { force: true });
    // A format that cannot hold all of the tree leaves the rest out, and says so.
    const { error } = spawnSync(program, args, { cwd: directory, stdio: 'ignore' });
    if (systemCode(error) === 'ENOENT') return [];
    if (error !== undefined) throw error;
    return [readFileSync(archive)];
  });
}

function makeTree(root: string): void {
  mkdirSync(join(root, 'a/b'), { recursive: true });
  writeFileSync(join(root, 'a/f'), 'content');
  writeFileSync(join(root, 'a/empty'), '', { mode: 0o600 });
  linkSync(join(root, 'a/f'), join(root, 'a/b/hard'));
  symlinkSync('../f', join(root, 'a/b/soft'));
  symlinkSync('/etc', join(root, 'link'));
  writeFileSync(join(root, '.wh.c'), '');
  writeFileSync(Buffer.from(`${root}/n\xf6n-utf8`, 'latin1'), 'latin1');
  writeFileSync(join(root, 'é'), 'a');
  mkdirSync(join(root, 'd'.repeat(120)));
  writeFileSync(join(root, 'd'.repeat(120), 'e'.repeat(110)), 'long');
  symlinkSync('t'.repeat(150), join(root, 'long-link'));
  makeSparse(join(root, 'sparse'), 7);
  makeSparse(join(root, 'sparser'), 2);
  spawnSync('mkfifo', [join(root, 'fifo')]);
  setAttribute(join(root, 'a/f'));
  spawnSync('find', [root, '-exec', 'touch', '-h', '-d', '@1000000000.5', '{}', '+']);
  utimesSync(join(root, 'a/f'), 1, 1.25);
  utimesSync(join(root, 'a'), -5, -5.5);
}

/** Stretches of data with holes between them and at the end. */
function makeSparse(path: string, stretches: number): void {
  const fd = openSync(path, 'w');
  for (let i = 0; i < stretches; i++) writeSync(fd, `stretch ${i}`, i * 8192);
  closeSync(fd);
}

function setAttribute(path: string): void {
  try {
    lsetxattr(path, 'user.seed', Buffer.from('\xff\0value', 'latin1'));
  } catch (error) {
    if (systemCode(error) !== 'ENOTSUP') throw error;
  }
}
