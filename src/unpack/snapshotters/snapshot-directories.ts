import { Opened } from '../disk/tree-walk.js';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  statSync,
} from 'node:fs';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LandfallError, systemCode } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import {
  AT_FDCWD,
  fchmodat,
  type MountInfo,
  O_DIRECTORY,
  O_RDONLY,
  openat,
  readMountInfo,
  RENAME_EXCHANGE,
  renameat2,
  syncfs,
  toBytePath,
  tryLock,
} from '../../system/index.js';
import { filesystemError } from '../terms/layer-fault.js';
import { removeDirectory } from './remove-directory.js';

const DISCARDED = '.discarded-';
/** The kernel or the file system does not know how. */
const CANNOT_EXCHANGE: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOSYS']);

/**
 * The directories below `<root>/snapshots`, one for each row of the database and named by its number. A
 * directory is made inside the transaction that inserts its row, and put away after the one that deletes it,
 * so that whoever holds the database's write lock sees no row without its directory; what a crash leaves
 * between is a directory without a row.
 */
export class SnapshotDirectories {
  /** Mode 0700, since a layer may hold setuid files. */
  readonly directory: string;
  /** Where damaged ones are put. */
  readonly #quarantine: string;

  constructor(root: string) {
    this.directory = join(root, 'snapshots');
    this.#quarantine = join(root, 'quarantine');
  }

  path(number: number): string {
    return join(this.directory, String(number));
  }

  /**
   * What the snapshot itself has; with overlay its layer, with native the whole tree. A symlink where that
   * lies in an additional store.
   */
  content(number: number): string {
    return join(this.path(number), 'fs');
  }

  /**
   * The directory that {@link content} is or leads to, for who goes on using it when the snapshot's row is
   * gone.
   */
  realContent(number: number): string {
    const content = this.content(number);
    return lstatSync(content, { throwIfNoEntry: false })?.isSymbolicLink() === true
      ? realpathSync(content)
      : content;
  }

  /** Where overlayfs works on an active snapshot. */
  work(number: number): string {
    return join(this.path(number), 'work');
  }

  /** A directory with nothing in it, beside those of the snapshots, for mounts that need one more layer. */
  empty(): string {
    const path = join(this.directory, 'empty');
    mkdirSync(path, { recursive: true, mode: 0o755 });
    return path;
  }

  /** Whether a snapshot's content is there, whatever the database says. */
  exists(number: number): boolean {
    return existsSync(this.content(number));
  }

  /** Whether a snapshot has a directory at all. */
  hasDirectory(number: number): boolean {
    return existsSync(this.path(number));
  }

  /** Makes the directory of a new row, with the named ones in it. Call it within the row's transaction. */
  create(number: number, names: readonly string[]): void {
    mkdirSync(this.directory, { recursive: true, mode: 0o700 });
    const path = this.path(number);
    try {
      mkdirSync(path, { mode: 0o700 });
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
      // The row is new, so this belongs to one that a crash undid.
      this.discard(number);
      mkdirSync(path, { mode: 0o700 });
    }
    for (const name of names) {
      mkdirSync(join(path, name));
      // Whatever the umask is: it becomes the root of a file system.
      fchmodat(AT_FDCWD, toBytePath(join(path, name)), name === 'work' ? 0o700 : 0o755);
    }
  }

  /**
   * Puts a directory out of sight whose row is gone; {@link sweep} removes it afterwards.
   * Undefined where there is none.
   */
  discard(number: number): string | undefined {
    const away = join(this.directory, `${DISCARDED}${number}-${randomUUID()}`);
    try {
      renameSync(this.path(number), away);
      return away;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Undoes {@link discard}, for a transaction that failed. */
  restore(number: number, away: string): void {
    renameSync(away, this.path(number));
  }

  /**
   * Lets a directory have the place of another one, if that is still there: at every moment there is the one
   * or the other. The other has the first one's place then. Call it within a transaction, and {@link sync}
   * after it.
   */
  replace(number: number, by: number): void {
    const [fresh, place] = [this.path(by), this.path(number)];
    if (!this.hasDirectory(number)) {
      renameSync(fresh, place);
      return;
    }
    try {
      renameat2(AT_FDCWD, toBytePath(fresh), AT_FDCWD, toBytePath(place), RENAME_EXCHANGE);
    } catch (error) {
      if (!CANNOT_EXCHANGE.has(systemCode(error))) throw error;
      // A crash in between loses the place for a moment, which whoever needs it finds and repairs.
      const away = this.discard(number);
      renameSync(fresh, place);
      if (away !== undefined) renameSync(away, fresh);
    }
  }

  /**
   * Puts a damaged directory where nothing looks for snapshots, and says where; undefined where there is
   * none.
   */
  quarantine(number: number, as: number): string | undefined {
    if (!this.hasDirectory(number)) return undefined;
    mkdirSync(this.#quarantine, { recursive: true, mode: 0o700 });
    const away = join(this.#quarantine, `snapshot-${as}.${Date.now()}`);
    renameSync(this.path(number), away);
    return away;
  }

  /** Makes the names of the directories durable. */
  sync(): void {
    for (const directory of [this.directory, this.#quarantine]) {
      if (!existsSync(directory)) continue;
      using opened = new Opened(openSync(directory, O_RDONLY | O_DIRECTORY));
      fsyncSync(opened.fd);
    }
  }

  /**
   * Makes all that is in them durable, which blocks this thread; a worker's job `sync` does the same
   * elsewhere.
   */
  syncContent(): void {
    using opened = new Opened(openSync(this.directory, O_RDONLY | O_DIRECTORY));
    syncfs(opened.fd);
  }

  /** Removes what was put away. */
  async sweep(away: string): Promise<void> {
    try {
      await removeDirectory(away);
    } catch (error) {
      throw filesystemError(error, `removing ${away}`, { path: away });
    }
  }

  /** The numbers that have a directory, and the paths of what was put away and not removed. */
  async list(): Promise<{ numbers: number[]; discarded: string[] }> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const names = await readdir(this.directory);
    return {
      numbers: names.filter((name) => /^[1-9]\d*$/.test(name)).map(Number),
      discarded: names.filter((name) => name.startsWith(DISCARDED)).map((name) => join(this.directory, name)),
    };
  }

  /**
   * Takes the lock that a living process holds on the directory of each layer that it unpacks. Returns the
   * descriptor that holds it, undefined where another has it or the directory is gone.
   */
  tryLock(number: number): number | undefined {
    let fd: number;
    try {
      fd = openat(AT_FDCWD, toBytePath(this.path(number)), O_RDONLY | O_DIRECTORY);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    if (tryLock(fd, 'exclusive')) return fd;
    closeSync(fd);
    return undefined;
  }

  /**
   * @throws LandfallError IN_USE where something is mounted in a snapshot's directory: removing it would
   *   reach into the mount
   */
  refuseMounted(number: number): void {
    const target = this.mountBelow(number);
    if (target === undefined) return;
    throw new LandfallError('IN_USE', `${target} is mounted inside a snapshot`, {
      hint: `Unmount ${target} first.`,
    });
  }

  /** @throws LandfallError IN_USE where a mount shows a snapshot: it would go on showing what is there now */
  refuseShown(number: number): void {
    this.refuseMounted(number);
    const target = existsSync(this.content(number)) ? mountOf(this.realContent(number)) : undefined;
    if (target === undefined) return;
    throw new LandfallError('IN_USE', `a snapshot is mounted at ${target}`, {
      hint: `Unmount ${target} first.`,
    });
  }

  /** Something that is mounted in a snapshot's directory. */
  mountBelow(number: number): string | undefined {
    if (!this.hasDirectory(number)) return undefined;
    // The kernel knows the mount by its real path.
    const prefix = `${realpathSync(this.path(number))}/`;
    return readMountInfo().find(({ target }) => `${target}/`.startsWith(prefix))?.target;
  }
}

/**
 * Where a directory is mounted, by itself or as a layer of an overlay, as far as this mount namespace tells;
 * the mounts of others are not seen.
 */
function mountOf(directory: string): string | undefined {
  return readMountInfo().find((mount) => isBoundTo(mount, directory) || isLayerOf(mount, directory))?.target;
}

/** The kernel tells the path within the file system only; its end says which mounts are worth a look. */
function isBoundTo({ root, target }: MountInfo, directory: string): boolean {
  return tailOf(root, 3) === tailOf(directory, 3) && isSame(target, directory);
}

/**
 * Who mounted it chose how to name its layers: by their paths, or as containerd does for many, from a common
 * directory.
 */
function isLayerOf({ type, superOptions }: MountInfo, directory: string): boolean {
  if (type !== 'overlay') return false;
  const short = tailOf(directory, 2);
  return superOptions
    .flatMap((option) => option.slice(option.indexOf('=') + 1).split(':'))
    .some((layer) => layer === short || (tailOf(layer, 2) === short && isSame(layer, directory)));
}

function tailOf(path: string, count: number): string {
  return toBytePath(path).split('/').slice(-count).join('/');
}

function isSame(path: string, directory: string): boolean {
  try {
    const [a, b] = [statSync(path, { bigint: true }), statSync(directory, { bigint: true })];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}

/**
 * What a committed snapshot says of itself beside its content, so that the database can be rebuilt from the
 * disk.
 */
export interface SnapshotFile {
  readonly name: string;
  readonly parent?: string | undefined;
  /** The kind of snapshotter that made it; absent in what older programs wrote. */
  readonly snapshotter?: string;
  /** Only where landfall verified the content. */
  readonly chainId?: Digest | undefined;
  readonly diffId?: Digest | undefined;
  /** The boot in which the content was written, where it was not synced before it was committed. */
  readonly notDurable?: string | undefined;
}

const NAME = 'snapshot.json';

/**
 * Writes `snapshot.json` into a snapshot's directory. It is not synced here: the content beside it is not
 * either.
 *
 * @throws UnpackError NO_SPACE, FILESYSTEM
 */
export async function writeSnapshotFile(directory: string, file: SnapshotFile): Promise<void> {
  const path = join(directory, NAME);
  try {
    await writeFile(path, textOf(file));
  } catch (error) {
    throw filesystemError(error, `writing ${path}`, { path });
  }
}

/** The same, for a directory whose content is on the disk already. */
export async function rewriteSnapshotFile(directory: string, file: SnapshotFile): Promise<void> {
  const path = join(directory, NAME);
  try {
    await using handle = await open(path, 'w');
    await handle.writeFile(textOf(file));
    await handle.sync();
  } catch (error) {
    throw filesystemError(error, `writing ${path}`, { path });
  }
}

/** What `snapshot.json` says, as far as it is a JSON object; undefined where it is none or cannot be read. */
export async function readSnapshotFile(
  directory: string,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const value = JSON.parse(await readFile(join(directory, NAME), 'utf8')) as unknown;
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function textOf({ name, parent, snapshotter, chainId, diffId, notDurable }: SnapshotFile): string {
  // On the disk it has the name that older programs gave it.
  const file = { name, parent: parent ?? null, snapshotter, chainId, diffId, unsynced: notDurable };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}
