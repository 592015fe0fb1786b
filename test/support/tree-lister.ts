import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Mount } from '../../src/unpack/index.js';

/** What one path of a tree is. */
export interface ListedEntry {
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
  readonly mode: number;
  readonly owner: string;
  /** Content of a file, target of a symlink, device number of anything else; empty for a directory. */
  readonly content: string;
  /** Seconds. */
  readonly mtime: number;
  readonly nlink: number;
  readonly xattrs: Readonly<Record<string, string>>;
}

/** By path; the root is `''`. Names are latin1. */
export type TreeListing = Readonly<Record<string, ListedEntry>>;

const SYSTEM = new URL('../../dist/src/system/index.js', import.meta.url);

/** Runs in the child: lists a tree, after mounting it if asked to. One JSON object a line, in both directions. */
const SCRIPT = `
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { lgetxattr, listxattr, mountFromSpec, unmount } from ${JSON.stringify(SYSTEM.href)};
const at = mkdtempSync(tmpdir() + '/landfall-lister-');
const bytes = (text) => Buffer.from(text, 'latin1');
function list(root, path, into) {
  const full = path === '' ? root : root + '/' + path;
  const stat = lstatSync(bytes(full), { bigint: true });
  const xattrs = {};
  for (const name of listxattr(full)) {
    if (!name.includes('.overlay.')) xattrs[name] = lgetxattr(full, name).toString('latin1');
  }
  const type = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'other';
  const content = type === 'file' ? readFileSync(bytes(full)).toString('latin1')
    : type === 'symlink' ? readlinkSync(bytes(full), { encoding: 'latin1' })
    : type === 'other' ? String(stat.mode >> 12n) + ':' + String(stat.rdev) : '';
  into[path] = { type, mode: Number(stat.mode & 0o7777n), owner: stat.uid + ':' + stat.gid, content,
    mtime: Number(stat.mtimeNs) / 1e9, nlink: Number(stat.nlink), xattrs };
  if (type !== 'directory') return;
  for (const name of readdirSync(bytes(full), { encoding: 'latin1' }).sort()) list(root, path === '' ? name : path + '/' + name, into);
}
for await (const line of createInterface({ input: process.stdin })) {
  const { mounts, directory } = JSON.parse(line);
  try {
    for (const mount of mounts ?? []) mountFromSpec(mount, at);
    const listing = {};
    try { list(directory ?? at, '', listing); } finally { for (const mount of mounts ?? []) unmount(at); }
    console.log(JSON.stringify({ listing }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack) + String(error.cause ?? '') }));
  }
}
rmdirSync(at);
`;

/**
 * Lists directory trees, and trees that must be mounted first: it does so in a child with a mount namespace of its own, so
 * that no mount is ever left behind.
 */
export class TreeLister implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    const args = ['-m', '--propagation', 'private', process.execPath, '--input-type=module', '-e', SCRIPT];
    this.#child = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async mounted(mounts: readonly Mount[]): Promise<TreeListing> {
    return await this.#ask({ mounts });
  }

  async directory(directory: string): Promise<TreeListing> {
    return await this.#ask({ directory });
  }

  async #ask(question: object): Promise<TreeListing> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the lister died');
    const answer = JSON.parse(line.value) as { listing?: TreeListing; error?: string };
    if (answer.listing === undefined) throw new Error(answer.error);
    return answer.listing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin.end();
    await exited;
  }
}

/** Only what each path is and holds: `directory`, or a file's content, or `-> target`. */
export function contents(listing: TreeListing): Record<string, string> {
  return Object.fromEntries(
    Object.entries(listing).map(([path, { type, content }]) => [
      path,
      type === 'directory' ? 'directory' : type === 'symlink' ? `-> ${content}` : content,
    ]),
  );
}
