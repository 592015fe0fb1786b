import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { lgetxattr, llistxattr, lsetxattr, toBytePath } from '../../src/system/index.js';

/** What its files hold, so that it is known wherever it turns up. */
export const SENTINEL_CONTENT = 'the sentinel was here';

/**
 * A directory that no layer may touch: a file `sentinel`, a directory with a `file` in it, and a `symlink`.
 * Whatever is done to them is seen, by their content, by what stat(2) tells, of which the time of change lets
 * nobody lie, and by their xattrs.
 */
export class Sentinel {
  readonly directory: string;
  readonly #before: string;

  /** @param directory - is made here */
  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(join(directory, 'directory'), { recursive: true });
    writeFileSync(join(directory, 'sentinel'), SENTINEL_CONTENT, { mode: 0o600 });
    writeFileSync(join(directory, 'directory', 'file'), SENTINEL_CONTENT);
    symlinkSync('sentinel', join(directory, 'symlink'));
    for (const name of ['sentinel', 'directory']) {
      lsetxattr(toBytePath(join(directory, name)), 'user.sentinel', Buffer.from('untouched'));
    }
    this.#before = this.#state();
  }

  /** What is different; empty when all is well. */
  damage(): string[] {
    const now = this.#state();
    return now === this.#before ? [] : [`outside was\n${this.#before}\nand is\n${now}`];
  }

  #state(): string {
    const names = ['', ...readdirSync(this.directory, { recursive: true, encoding: 'utf8' }).sort()];
    return names.map((name) => stateOf(join(this.directory, name))).join('\n');
  }
}

function stateOf(path: string): string {
  const stat = lstatSync(path, { bigint: true });
  const { mode, uid, gid, nlink, size, mtimeNs, ctimeNs } = stat;
  const target = toBytePath(path);
  const xattrs = llistxattr(target).map((name) => `${name}=${lgetxattr(target, name)?.toString('hex')}`);
  const content = stat.isFile()
    ? readFileSync(path, 'latin1')
    : stat.isSymbolicLink()
      ? readlinkSync(path)
      : '';
  return [path, mode, uid, gid, nlink, size, mtimeNs, ctimeNs, ...xattrs, content].join(' ');
}
