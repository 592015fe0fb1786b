import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { builtArchive } from './built-archive.js';

/** An archive of the corpus' tree. */
export interface CorpusArchive {
  readonly name: string;
  readonly file: string;
  readonly bytes: Buffer;
}

interface Packer {
  readonly name: string;
  /** A command with the words SOURCE and OUT. */
  readonly command: readonly string[];
  /** The format cannot hold all of the tree: the program says so, leaves some out, and fails in the end. */
  readonly partial?: true;
}

const TREE_SCRIPT = join(import.meta.dirname, 'make-tree.py');
const PYTHON_SCRIPT = join(import.meta.dirname, 'pack.py');

const gnu = (format: string, ...options: string[]): string[] => {
  const common = ['--sort=name', '--numeric-owner', '-C', 'SOURCE'];
  return ['tar', '-cf', 'OUT', `--format=${format}`, ...common, ...options, '.'];
};
const bsd = (format: string, ...options: string[]): string[] => {
  const common = ['--numeric-owner', '--xattrs', '--acls', '-C', 'SOURCE'];
  return ['bsdtar', '-cf', 'OUT', `--format=${format}`, ...common, ...options, '.'];
};
const python = (format: string, ...globals: string[]): string[] => {
  return ['python3', PYTHON_SCRIPT, 'OUT', 'SOURCE', format, ...globals];
};
const XATTRS = ['--xattrs', '--xattrs-include=*'];

const PACKERS: readonly Packer[] = [
  { name: 'GNU tar, v7', command: gnu('v7'), partial: true },
  { name: 'GNU tar, ustar', command: gnu('ustar'), partial: true },
  { name: 'GNU tar, oldgnu', command: gnu('oldgnu') },
  { name: 'GNU tar, gnu', command: gnu('gnu') },
  { name: 'GNU tar, gnu, sparse', command: gnu('gnu', '-S') },
  { name: 'GNU tar, pax', command: gnu('posix', ...XATTRS) },
  { name: 'GNU tar, pax, ACLs', command: gnu('posix', '--acls') },
  { name: 'GNU tar, pax, sparse 0.0', command: gnu('posix', ...XATTRS, '-S', '--sparse-version=0.0') },
  { name: 'GNU tar, pax, sparse 0.1', command: gnu('posix', ...XATTRS, '-S', '--sparse-version=0.1') },
  { name: 'GNU tar, pax, sparse 1.0', command: gnu('posix', ...XATTRS, '-S', '--sparse-version=1.0') },
  {
    name: 'GNU tar, pax, incremental',
    command: gnu('posix', ...XATTRS, '--listed-incremental=OUT.snapshot'),
  },
  {
    name: 'GNU tar, pax, global records',
    command: gnu('posix', '--pax-option=mtime=1234567890.5,gid=77,comment=for all'),
  },
  { name: 'bsdtar, v7', command: bsd('v7', '--exclude=./links/fifo*'), partial: true },
  { name: 'bsdtar, ustar', command: bsd('ustar'), partial: true },
  { name: 'bsdtar, gnutar', command: bsd('gnutar'), partial: true },
  { name: 'bsdtar, pax', command: bsd('pax') },
  { name: 'Python, ustar', command: python('USTAR_FORMAT') },
  { name: 'Python, gnu', command: python('GNU_FORMAT') },
  { name: 'Python, pax', command: python('PAX_FORMAT') },
  { name: 'Python, pax, global records', command: python('PAX_FORMAT', 'gid=77', 'comment=caf\u00e9') },
];

/** The one that no program of others makes; it is not of the tree. */
const BUILT = 'built here';

export const ARCHIVES: readonly string[] = [...PACKERS.map(({ name }) => name), BUILT];

export interface Corpus {
  /** The tree that is in the archives. */
  readonly source: string;
  /** In the order of {@link ARCHIVES}. */
  readonly archives: readonly CorpusArchive[];
}

/**
 * Makes the tree of `make-tree.py` below a directory, and packs it in every way; about a second. Who is not
 * root gets a tree without devices, owners and the attributes that only root may set.
 */
export function makeCorpus(directory: string): Corpus {
  const source = join(directory, 'source');
  mkdirSync(source);
  execFileSync('python3', [TREE_SCRIPT, source], { stdio: 'pipe' });
  const made = PACKERS.map((packer, i) => {
    const file = join(directory, `${i}.tar`);
    pack(packer, source, file);
    return { name: packer.name, file, bytes: readFileSync(file) };
  });
  const built = { name: BUILT, file: join(directory, 'built.tar'), bytes: builtArchive() };
  writeFileSync(built.file, built.bytes);
  return { source, archives: [...made, built] };
}

function pack(packer: Packer, source: string, out: string): void {
  const words = packer.command.map((word) => word.replace('OUT', out).replace('SOURCE', source));
  const [program = '', ...args] = words;
  const { status, stderr } = spawnSync(program, args, {
    env: { ...process.env, LC_ALL: 'C.UTF-8', TZ: 'UTC' },
    encoding: 'latin1',
  });
  const expected = packer.partial === true ? status !== null && status < 3 : status === 0;
  if (!expected) throw new Error(`${packer.name} failed (${status}):\n${stderr}`);
}
