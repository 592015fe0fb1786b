import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { systemCode } from '../errors.js';
import { cloneTree, mapMountOwners } from './mount-api.js';

/** From this kernel on, overlayfs takes such mounts as layers (containerd: overlayutils/check.go). */
const FIRST = [5, 19] as const;
/** Any will do. */
const MAP = '0 100000 1';

/**
 * Finds whether the owners of a directory can be shown as those of a user namespace, in a mount that is attached
 * nowhere.
 *
 * @throws Error whose message says why not
 */
export async function probeIdMappedMounts(directory: string): Promise<string> {
  const [major = 0, minor = 0] = release().split('.').map(Number.parseFloat);
  if (major < FIRST[0] || (major === FIRST[0] && minor < FIRST[1]))
    throw new Error(`overlayfs takes them from Linux ${FIRST.join('.')} on, and this is ${release()}`);
  await using namespace = await UserNamespace.start();
  const tree = attempt(() => cloneTree(directory, false));
  try {
    attempt(() => mapMountOwners(tree, namespace.fd));
  } finally {
    closeSync(tree);
  }
  return 'mapped the owners of a directory';
}

function attempt<T>(call: () => T): T {
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
