import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { llistxattr, O_DIRECTORY, O_RDONLY, openat, AT_FDCWD } from '../../src/system/index.js';
import { emptyDirectory, removeEntry } from '../../src/unpack/disk/tree-walk.js';
import { Violation } from './violation.js';

/** Where sandboxes are made: in memory, where this machine has a place for it. */
export const SANDBOXES: string = isWritable('/dev/shm') ? '/dev/shm' : tmpdir();

/** What stands in files outside, and nowhere else. */
export const OUTSIDE_CONTENT = 'what lies outside';

/** Places for directories that a layer may fill. */
export type Bed = 'first' | 'second' | 'third' | 'fourth' | 'merged' | 'blobs';
const BEDS: readonly Bed[] = ['first', 'second', 'third', 'fourth', 'merged', 'blobs'];

/**
 * A directory with beds for layers and, beside them, what no layer may touch. The process works in it, so
 * that `/proc/self/cwd/outside` names the latter for any layer that finds a way out.
 */
export class FuzzSandbox implements Disposable {
  readonly #root: string;
  #before: string;
  #descriptors: number;

  /** @param root - an empty directory */
  constructor(root: string) {
    this.#root = root;
    const outside = join(root, 'outside');
    mkdirSync(join(outside, 'directory'), { recursive: true });
    writeFileSync(join(outside, 'sentinel'), OUTSIDE_CONTENT, { mode: 0o600 });
    for (const name of ['directory/file', 'passwd', 'group']) {
      writeFileSync(join(outside, name), OUTSIDE_CONTENT);
    }
    symlinkSync('sentinel', join(outside, 'link'));
    for (const bed of BEDS) mkdirSync(join(root, bed));
    process.chdir(root);
    this.#before = this.#state();
    this.#descriptors = openDescriptors();
  }

  /** The bed, empty and with mode 0755. */
  bed(name: Bed): string {
    const path = join(this.#root, name);
    const parent = openat(AT_FDCWD, this.#root, O_RDONLY | O_DIRECTORY);
    try {
      removeEntry(parent, name);
    } finally {
      closeSync(parent);
    }
    mkdirSync(path, { mode: 0o755 });
    return path;
  }

  /** Descriptors may be open from now on that were not before, such as those of a thread. */
  settle(): void {
    this.#descriptors = openDescriptors();
  }

  /** @throws {Violation} escape, leak */
  check(): void {
    const state = this.#state();
    if (state !== this.#before) {
      const violation = new Violation('escape', `something changed outside:\n  ${this.#before}\n  ${state}`);
      this.#before = state;
      throw violation;
    }
    const leaked = openDescriptors() - this.#descriptors;
    this.settle();
    if (leaked !== 0) throw new Violation('leak', `${leaked} descriptors stayed open`);
  }

  [Symbol.dispose](): void {
    process.chdir('/');
    const fd = openat(AT_FDCWD, this.#root, O_RDONLY | O_DIRECTORY);
    emptyDirectory(fd);
    closeSync(fd);
  }

  #state(): string {
    const { names, paths } = this.#places();
    const states = paths.map((path) => {
      const s = lstatSync(path, { bigint: true });
      const info = [path, s.mode, s.uid, s.gid, s.nlink, s.size, s.mtimeNs, s.ctimeNs, s.ino].map(String);
      return [...info, ...llistxattr(path), ...(s.isSymbolicLink() ? [readlinkSync(path)] : [])];
    });
    return JSON.stringify([names, states]);
  }

  #places(): { names: string[]; paths: string[] } {
    const names = readdirSync(this.#root).sort();
    const inner = readdirSync(join(this.#root, 'outside'), { recursive: true, encoding: 'utf8' }).sort();
    return {
      names,
      paths: ['outside', ...inner.map((name) => `outside/${name}`)].map((name) => join(this.#root, name)),
    };
  }
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
