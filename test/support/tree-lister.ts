import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Mount } from '../../src/unpack/index.js';
import { isRoot } from './needs-root.js';

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
  /** The first path that is the same file; its own, unless it is a hard link. */
  readonly file: string;
  readonly xattrs: Readonly<Record<string, string>>;
}

/** By path; the root is `''`. Names are latin1. */
export type TreeListing = Readonly<Record<string, ListedEntry>>;

const SYSTEM = new URL('../../dist/src/system/index.js', import.meta.url);

/**
 * Runs in the child: lists a tree, after mounting it if asked to. One JSON object a line, in both directions.
 */
const SCRIPT = `
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { lgetxattr, listxattr, mountFromSpec, unmount } from ${JSON.stringify(SYSTEM.href)};
const at = mkdtempSync(tmpdir() + '/landfall-tree-');
const bytes = (text) => Buffer.from(text, 'latin1');
function list(root, path, into, files) {
  const full = path === '' ? root : root + '/' + path;
  const stat = lstatSync(bytes(full), { bigint: true });
  const xattrs = {};
  for (const name of listxattr(full)) {
    xattrs[name] = lgetxattr(full, name).toString('latin1');
  }
  const type = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'other';
  const content = type === 'file' ? readFileSync(bytes(full)).toString('latin1')
    : type === 'symlink' ? readlinkSync(bytes(full), { encoding: 'latin1' })
    : type === 'other' ? String(stat.mode >> 12n) + ':' + String(stat.rdev) : '';
  const key = stat.dev + ':' + stat.ino;
  if (!files.has(key)) files.set(key, path);
  into[path] = { type, mode: Number(stat.mode & 0o7777n), owner: stat.uid + ':' + stat.gid, content,
    mtime: Number(stat.mtimeNs) / 1e9, nlink: Number(stat.nlink), file: files.get(key), xattrs };
  if (type !== 'directory') return;
  for (const name of readdirSync(bytes(full), { encoding: 'latin1' }).sort()) list(root, path === '' ? name : path + '/' + name, into, files);
}
for await (const line of createInterface({ input: process.stdin })) {
  const { mounts, directory, script } = JSON.parse(line);
  try {
    for (const mount of mounts ?? []) mountFromSpec(mount, at);
    const listing = {};
    try {
      if (script === undefined) list(directory ?? at, '', listing, new Map());
      else execFileSync('sh', ['-euc', script], { cwd: directory ?? at, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
    } finally { for (const mount of mounts ?? []) unmount(at); }
    console.log(JSON.stringify({ listing }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.stack) + String(error.cause ?? '') }));
  }
}
rmdirSync(at);
`;

/** Every ID that there is, as it is. */
const ALL_IDS = '0 0 4294967295';

/**
 * Lists directory trees, and trees that must be mounted first, and lets shell scripts write to them: it does
 * so in a child with a mount namespace of its own, so that no mount is ever left behind.
 */
export class TreeLister implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;
  readonly #ready: Promise<void>;

  /**
   * @param o - in which user namespace: root's own (the default of root), or a new one; the latter has all
   *   IDs as they are where root asks for it, and else this user alone, as root
   */
  constructor(o: { readonly userNamespace?: boolean } = {}) {
    const userNamespace = o.userNamespace ?? !isRoot;
    const flags = !userNamespace ? '-m' : isRoot ? '-Um' : '-Urm';
    // Until its IDs are known, who is in the namespace may do nothing there.
    const wait = 'echo && read -r line && exec "$@"';
    const node = [process.execPath, '--input-type=module', '-e', SCRIPT];
    const args = [flags, '--propagation', 'private', 'sh', '-c', wait, 'wait', ...node];
    this.#child = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    this.#ready = this.#begin(userNamespace && isRoot);
    this.#ready.catch(() => undefined);
  }

  async #begin(mapAll: boolean): Promise<void> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('no namespace could be made');
    if (mapAll) {
      for (const map of ['uid_map', 'gid_map']) await writeFile(`/proc/${this.#child.pid}/${map}`, ALL_IDS);
    }
    this.#child.stdin.write('\n');
  }

  async mounted(mounts: readonly Mount[]): Promise<TreeListing> {
    return await this.#ask({ mounts });
  }

  async directory(directory: string): Promise<TreeListing> {
    return await this.#ask({ directory });
  }

  /** Runs a shell script in a tree. */
  async change(
    tree: { readonly mounts: readonly Mount[] } | { readonly directory: string },
    script: string,
  ): Promise<void> {
    await this.#ask({ ...tree, script });
  }

  async #ask(question: object): Promise<TreeListing> {
    await this.#ready;
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
