import { execFile } from 'node:child_process';
import { closeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { systemCode } from '../errors.js';
import { FilesystemContext, lacksMountCall } from './mount-api.js';
import { appendLayers, createOverlay, LayerNames, type OverlayLayers } from './overlay-mount.js';

const run = promisify(execFile);
const CHILD_TIMEOUT_MS = 10_000;

/** Two layers, an upper directory, a work directory and a place to mount them at. */
const NAMES = { lower: ['above', 'below'], upper: 'upper', work: 'work', target: 'target' } as const;

/**
 * Mounts an overlay of directories below `directory`, where this process does not see it, and says how.
 *
 * @throws Error whose message says why it cannot
 */
export async function probeOverlay(directory: string): Promise<string> {
  for (const name of [...NAMES.lower, NAMES.upper, NAMES.work, NAMES.target])
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
      lower: NAMES.lower.map((name) => join(directory, name)),
      upper: join(directory, NAMES.upper),
      work: join(directory, NAMES.work),
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
  const options = `${option}lowerdir=${NAMES.lower.join(':')},upperdir=${NAMES.upper},workdir=${NAMES.work}`;
  await run('unshare', [...namespaces, 'mount', '-t', 'overlay', 'overlay', '-o', options, NAMES.target], {
    cwd: directory,
    timeout: CHILD_TIMEOUT_MS,
  });
  return 'mounted two layers and an upper directory, in a mount namespace of its own';
}
