import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { isLandfallError, systemCode } from '../errors.js';
import { lgetxattr, lsetxattr, mknodat, openat2 } from './calls/at.js';
import { cloneOrCopyFile } from './calls/copy.js';
import { tryLock } from './calls/flock.js';
import { libc, SystemError, toBytePath } from './calls/libc.js';
import {
  cloneTree,
  FilesystemContext,
  lacksMountCall,
  mapMountOwners,
  mountApiAvailable,
} from './mounts/mount-api.js';
import { appendLayers, createOverlay, LayerNames, type OverlayLayers } from './mounts/overlay-mount.js';
import { AT_FDCWD, O_DIRECTORY, O_PATH, O_RDONLY, O_RDWR, RESOLVE_IN_ROOT, S_IFCHR } from './calls/stat.js';
import { syncfs } from './calls/sync.js';

/** Something that this machine can do or cannot. */
export interface Capability {
  readonly available: boolean;
  /** How it was found, or why not: one line. */
  readonly detail: string;
  /** What a person can do to have it, where that is known. */
  readonly hint?: string;
}

export interface SystemCapabilities {
  /** Calling the C library at all; without it nothing else here is there. */
  readonly libc: Capability;
  /** Containment by the kernel in one call. */
  readonly openat2: Capability;
  /** Mounting layers over one another, in this process's namespaces. */
  readonly overlay: Capability;
  /** fsopen and its kin (Linux 5.2). */
  readonly newMountApi: Capability;
  readonly userNamespaces: Capability;
  /** Layers of an overlay whose owners are shown as those of a user namespace (Linux 5.19). */
  readonly idMappedMounts: Capability;
  /** Device nodes. */
  readonly mknod: Capability;
  /** The 0:0 devices by which overlayfs tells that a name is gone. */
  readonly whiteouts: Capability;
  /** `trusted.*`, by which overlayfs tells that a directory is opaque. */
  readonly trustedXattr: Capability;
  /** `user.*`, which takes its place where there is no privilege. */
  readonly userXattr: Capability;
  /** File capabilities. */
  readonly securityCapability: Capability;
  /** Copies that share their blocks. */
  readonly reflink: Capability;
  readonly flock: Capability;
  readonly syncfs: Capability;
  /** What an unprivileged process may still write, at the directory asked for. */
  readonly freeSpace: Capability & { readonly bytes: number };
}

/** Resolves to the detail of what works; throws where it does not. */
type Check = (directory: string) => string | Promise<string>;

const run = promisify(execFile);
const CHILD_TIMEOUT_MS = 10_000;

/** A valid value of security.capability: revision 2, cap_net_bind_service permitted and effective. */
const FILE_CAPABILITY = Buffer.from('0100000200040000000000000000000000000000', 'hex');

/**
 * Finds out, by trying it, what this machine can do at a directory. Where the directory does not exist yet,
 * its nearest ancestor is tried. Nothing stays behind, no mount is attached anywhere, and nothing is ever
 * thrown.
 */
export async function probeSystem(dir: string): Promise<SystemCapabilities> {
  const base = await nearestDirectory(resolve(dir));
  const scratch = await makeScratch(base);
  const check = (probe: Check): Promise<Capability> =>
    attempt(() => {
      if (scratch.path === undefined) throw new Error(scratch.reason);
      return probe(scratch.path);
    });
  try {
    return {
      libc: await attempt(probeLibc),
      openat2: await check(probeOpenat2),
      overlay: await check(probeOverlay),
      newMountApi: await attempt(probeMountApi),
      userNamespaces: await attempt(probeUserNamespaces),
      idMappedMounts: await check(probeIdMappedMounts),
      mknod: await check((at) => probeDevice(at, 'null', 1, 3)),
      whiteouts: await check((at) => probeDevice(at, 'whiteout', 0, 0)),
      trustedXattr: await check((at) => probeXattr(at, 'trusted.landfall', Buffer.from('1'))),
      userXattr: await check((at) => probeXattr(at, 'user.landfall', Buffer.from('1'))),
      securityCapability: await check((at) => probeXattr(at, 'security.capability', FILE_CAPABILITY)),
      reflink: await check(probeReflink),
      flock: await check(probeFlock),
      syncfs: await check(probeSyncfs),
      freeSpace: await probeFreeSpace(base),
    };
  } finally {
    if (scratch.path !== undefined) {
      await rm(scratch.path, { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

async function attempt(probe: () => string | Promise<string>): Promise<Capability> {
  try {
    return { available: true, detail: await probe() };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const detail = reason.trim().replace(/\s+/g, ' ');
    return { available: false, detail, ...(isLandfallError(error) ? { hint: error.hint } : {}) };
  }
}

async function nearestDirectory(dir: string): Promise<string> {
  for (let at = dir; ; at = dirname(at)) {
    const found = await stat(at).catch(() => undefined);
    if (found?.isDirectory() === true || at === dirname(at)) return at;
  }
}

async function makeScratch(base: string): Promise<{ path?: string; reason: string }> {
  try {
    return { path: await mkdtemp(join(base, '.landfall-probe-')), reason: '' };
  } catch (error) {
    return { reason: `cannot be tried: ${base} is not writable (${systemCode(error) ?? 'unknown'})` };
  }
}

function probeLibc(): string {
  libc();
  return 'the C library is loaded';
}

function probeOpenat2(directory: string): string {
  const root = openSync(directory, O_PATH | O_DIRECTORY);
  try {
    closeSync(openat2(root, '../..', O_PATH, 0, RESOLVE_IN_ROOT));
    return 'the kernel resolves paths below a directory';
  } catch (error) {
    if (systemCode(error) === 'ENOSYS') throw new Error('the kernel is older than 5.6', { cause: error });
    if (systemCode(error) === 'EPERM') throw new Error('a seccomp filter refuses it', { cause: error });
    throw error;
  } finally {
    closeSync(root);
  }
}

function probeMountApi(): string {
  libc();
  if (mountApiAvailable()) return 'fsopen works';
  throw new Error('fsopen is refused: it needs root (CAP_SYS_ADMIN) and Linux 5.2');
}

async function probeUserNamespaces(): Promise<string> {
  for (const [file, limit] of [
    ['/proc/sys/user/max_user_namespaces', 'user.max_user_namespaces'],
    ['/proc/sys/kernel/unprivileged_userns_clone', 'kernel.unprivileged_userns_clone'],
  ] as const) {
    const value = await readFile(file, 'utf8').catch(() => '');
    if (value.trim() === '0') throw new Error(`${limit} is 0`);
  }
  await readFile('/proc/self/ns/user').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') throw new Error('the kernel has none', { cause: error });
  });
  try {
    await run('unshare', ['-Ur', 'true'], { timeout: CHILD_TIMEOUT_MS });
    return 'a process made one';
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 'the kernel allows them; unshare(1) is not there to try it';
    throw new Error('the kernel refuses to make one', { cause: error });
  }
}

function probeDevice(directory: string, name: string, major: number, minor: number): string {
  try {
    mknodat(AT_FDCWD, toBytePath(join(directory, name)), S_IFCHR | 0o600, major, minor);
    return `made a character device ${major}:${minor}`;
  } catch (error) {
    throw refused(error, 'making a device needs root (CAP_MKNOD), or the file system refuses it');
  }
}

async function probeXattr(directory: string, name: string, value: Buffer): Promise<string> {
  const file = join(directory, name);
  await writeFile(file, '');
  try {
    lsetxattr(toBytePath(file), name, value);
    if (lgetxattr(toBytePath(file), name)?.equals(value) !== true)
      throw new Error(`${name} does not read as it was set`);
    return `set and read ${name}`;
  } catch (error) {
    if (systemCode(error) === 'ENOTSUP')
      throw new Error('the file system has no such attributes', { cause: error });
    throw refused(error, `setting ${name} needs root`);
  }
}

async function probeReflink(directory: string): Promise<string> {
  const source = join(directory, 'reflink-source');
  await writeFile(source, Buffer.alloc(4096, 1));
  await writeFile(join(directory, 'reflink-target'), '');
  return withOpen(source, O_RDONLY, (from) =>
    withOpen(join(directory, 'reflink-target'), O_RDWR, (to) => {
      if (cloneOrCopyFile(from, to, 4096) === 'cloned') return 'cloned a file';
      throw new Error('the file system has none: copies take their full size');
    }),
  );
}

async function probeFlock(directory: string): Promise<string> {
  const file = join(directory, 'lock');
  await writeFile(file, '');
  return withOpen(file, O_RDWR, (first) =>
    withOpen(file, O_RDWR, (second) => {
      if (!tryLock(first, 'exclusive')) throw new Error('a new file is locked already');
      if (tryLock(second, 'exclusive')) throw new Error('the file system grants a lock to two at once');
      return 'the second of two locks was refused';
    }),
  );
}

function probeSyncfs(directory: string): string {
  return withOpen(directory, O_RDONLY | O_DIRECTORY, (fd) => {
    syncfs(fd);
    return 'the file system was synced';
  });
}

async function probeFreeSpace(directory: string): Promise<Capability & { bytes: number }> {
  try {
    const { bavail, bsize, ffree } = await statfs(directory);
    const bytes = bavail * bsize;
    const detail = `${(bytes / 2 ** 30).toFixed(1)} GiB and ${ffree} inodes at ${directory}`;
    return { available: bytes > 0, bytes, detail };
  } catch (error) {
    return { available: false, bytes: 0, detail: `cannot be read (${systemCode(error) ?? 'unknown'})` };
  }
}

function withOpen<T>(file: string, flags: number, use: (fd: number) => T): T {
  const fd = openSync(file, flags);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

function refused(error: unknown, words: string): unknown {
  const denied = error instanceof SystemError && (error.code === 'EPERM' || error.code === 'EACCES');
  return denied ? new Error(words, { cause: error }) : error;
}

/** Two layers, an upper directory, a work directory and a place to mount them at. */
const OVERLAY = { lower: ['above', 'below'], upper: 'upper', work: 'work', target: 'target' } as const;

/**
 * Mounts an overlay of directories below `directory`, where this process does not see it, and says how.
 *
 * @throws Error whose message says why it cannot
 */
export async function probeOverlay(directory: string): Promise<string> {
  for (const name of [...OVERLAY.lower, OVERLAY.upper, OVERLAY.work, OVERLAY.target])
    await mkdir(join(directory, name));
  try {
    return mountDetached(directory) ?? (await mountInChild(directory, ['-m'], ''));
  } catch (error) {
    if (systemCode(error) !== 'EPERM') throw error;
    throw new Error(await adviceWithoutPrivilege(directory), { cause: error });
  }
}

/** A mount that is attached nowhere and goes with its descriptor; undefined where this kernel has no such. */
function mountDetached(directory: string): string | undefined {
  const context = openOverlay();
  if (context === undefined) return undefined;
  using names = new LayerNames();
  try {
    const layers: OverlayLayers = {
      lower: OVERLAY.lower.map((name) => join(directory, name)),
      upper: join(directory, OVERLAY.upper),
      work: join(directory, OVERLAY.work),
    };
    const plain = names.plain(layers);
    if (!appendLayers(context, plain)) return undefined;
    closeSync(createOverlay(context, plain, { readOnly: false }));
    return 'mounted two layers and an upper directory, one layer at a time';
  } catch (error) {
    const reason = context.message();
    if (lacksMountCall(error) || reason === undefined) throw error;
    throw new Error(`the file system does not take it: ${reason}`, { cause: error });
  } finally {
    context.close();
  }
}

function openOverlay(): FilesystemContext | undefined {
  try {
    return new FilesystemContext('overlay');
  } catch (error) {
    if (systemCode(error) === 'ENOSYS') return undefined;
    if (systemCode(error) === 'ENODEV') throw new Error('the kernel has no overlayfs', { cause: error });
    throw error;
  }
}

async function adviceWithoutPrivilege(directory: string): Promise<string> {
  try {
    await mountInChild(directory, ['-Urm'], 'userxattr,');
    return 'needs root (CAP_SYS_ADMIN), or a user namespace, in which it works: unshare -Urm';
  } catch {
    return 'needs root (CAP_SYS_ADMIN), and does not work in a user namespace either';
  }
}

/** In a mount namespace of its own, which ends with the child, and the mount with it. */
async function mountInChild(
  directory: string,
  namespaces: readonly string[],
  option: string,
): Promise<string> {
  const options = `${option}lowerdir=${OVERLAY.lower.join(':')},upperdir=${OVERLAY.upper},workdir=${OVERLAY.work}`;
  await run('unshare', [...namespaces, 'mount', '-t', 'overlay', 'overlay', '-o', options, OVERLAY.target], {
    cwd: directory,
    timeout: CHILD_TIMEOUT_MS,
  });
  return 'mounted two layers and an upper directory, in a mount namespace of its own';
}

/** From this kernel on, overlayfs takes such mounts as layers (containerd: overlayutils/check.go). */
const FIRST = [5, 19] as const;
/** Any will do. */
const MAP = '0 100000 1';

/**
 * Finds whether the owners of a directory can be shown as those of a user namespace, in a mount that is
 * attached nowhere.
 *
 * @throws Error whose message says why not
 */
export async function probeIdMappedMounts(directory: string): Promise<string> {
  const [major = 0, minor = 0] = release().split('.').map(Number.parseFloat);
  if (major < FIRST[0] || (major === FIRST[0] && minor < FIRST[1]))
    throw new Error(`overlayfs takes them from Linux ${FIRST.join('.')} on, and this is ${release()}`);
  await using namespace = await UserNamespace.start();
  const tree = explained(() => cloneTree(directory, false));
  try {
    explained(() => mapMountOwners(tree, namespace.fd));
  } finally {
    closeSync(tree);
  }
  return 'mapped the owners of a directory';
}

function explained<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    const reasons = new Map([
      ['EINVAL', 'the file system has none'],
      ['EPERM', 'needs root (CAP_SYS_ADMIN)'],
      ['ENOSYS', 'the kernel has none'],
    ]);
    const reason = reasons.get(systemCode(error) ?? '');
    throw reason === undefined ? error : new Error(reason, { cause: error });
  }
}

/** A user namespace, which lasts as long as a process of its own. */
class UserNamespace implements AsyncDisposable {
  readonly fd: number;
  readonly #end: () => Promise<unknown>;

  private constructor(fd: number, end: () => Promise<unknown>) {
    this.fd = fd;
    this.#end = end;
  }

  static async start(): Promise<UserNamespace> {
    // It says a word once it is there, and ends with its input.
    const child = spawn('unshare', ['--user', 'sh', '-c', 'echo && exec cat'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const ended = new Promise<'ended'>((resolve) => {
      child.once('error', () => resolve('ended'));
      child.once('exit', () => resolve('ended'));
    });
    const end = async (): Promise<void> => {
      child.stdin.end();
      await ended;
    };
    try {
      if ((await Promise.race([once(child.stdout, 'data'), ended])) === 'ended')
        throw new Error('unshare(1) makes no user namespace to try them with');
      const at = `/proc/${child.pid}`;
      for (const map of ['uid_map', 'gid_map']) await writeFile(`${at}/${map}`, MAP);
      return new UserNamespace(openSync(`${at}/ns/user`, 'r'), end);
    } catch (error) {
      await end();
      throw systemCode(error) === 'EPERM' ? new Error('needs root (CAP_SYS_ADMIN)', { cause: error }) : error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    closeSync(this.fd);
    await this.#end();
  }
}
