import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Lease } from '../../content/index.js';
import { type Abortable, systemCode, throwIfAborted, UnpackError } from '../../errors.js';
import { formatPlatform, isRunnablePlatform, parseReference, type Platform } from '../../spec/index.js';
import { isMountPoint, mountFromSpec, unmount } from '../../system/index.js';
import type { PolicyFile } from '../../trust/index.js';
import type { Mount } from '../../unpack/index.js';
import { requireUnpackable, loadImage } from '../images/image.js';
import { resolveImage, touchImage } from '../images/names.js';
import type { Store } from '../store.js';

/** Which mounts of an image are wanted. */
export interface ImageMountsOptions extends Abortable {
  /** Default: this machine's, else the only one that is here. */
  readonly platform?: Platform | undefined;
  /** The policy: which signatures the image needs. Default: none. */
  readonly policy?: PolicyFile | undefined;
}

/** How an image is mounted. */
export interface MountImageOptions extends ImageMountsOptions {
  /** A writable layer on top, which is thrown away at unmount. Default false. */
  readonly writable?: boolean | undefined;
  /** Whether setuid programs and file capabilities of the image have their effect. Default false. */
  readonly suid?: boolean | undefined;
  /** Whether device files of the image can be opened. Default false. */
  readonly dev?: boolean | undefined;
}

/** An image that is mounted. */
export interface MountedImage {
  /** Absolute path. */
  readonly target: string;
  /** The key of the snapshot that holds the image's layers while it is mounted. */
  readonly key: string;
  /** As they were made, in their order. */
  readonly mounts: readonly Mount[];
}

/** What {@link unmountImage} has unmounted. */
export interface UnmountedImage {
  /** Absolute path. */
  readonly target: string;
}

/**
 * The mounts that show an image's root file system read-only, for a program that mounts it (a runtime, an
 * init script). They hold nothing: what they show may be collected once the image has no name any more.
 *
 * @param name as a person would write it: a reference, a digest, an image ID
 * @throws as {@link mountImage}, but for IN_USE and what mounting needs
 */
export async function imageMounts(
  store: Store,
  name: string,
  options: ImageMountsOptions = {},
): Promise<readonly Mount[]> {
  throwIfAborted(options.signal);
  await using lease = await store.leases.create();
  const top = await topSnapshot(store, name, { ...options, lease });
  return top === undefined ? [EMPTY] : await store.snapshotter.viewMounts(top);
}

/** Shows the root file system of an image without layers, for which there is no directory. */
const EMPTY: Mount = { type: 'tmpfs', source: 'tmpfs', options: ['ro', 'mode=755'] };

/**
 * Mounts an image. Its layers are held by a snapshot until {@link unmountImage}. The mount is nosuid and
 * nodev unless the options say otherwise, since users of the machine may reach it, and the image's author is
 * another.
 *
 * @param name as a person would write it: a reference, a digest, an image ID
 * @param directory where it is mounted; it has to be there
 * @throws
 * - {@link ContentError} BLOB_NOT_FOUND (no such image)
 * - {@link SpecError} INVALID_REFERENCE, NO_MATCHING_PLATFORM, UNSUPPORTED_MEDIA_TYPE (an artifact, or layers
 *   of another kind)
 * - {@link UnpackError} SNAPSHOT_NOT_FOUND (pulled without unpacking), IN_USE (something is mounted there
 *   from this store), INVALID_CONFIG (no such directory), FILESYSTEM, UNSUPPORTED (this machine cannot mount,
 *   or the user may not)
 * - {@link TrustError} where `policy` asks for signatures that the image lacks
 * - {@link LandfallError} ABORTED, before it is mounted
 */
export async function mountImage(
  store: Store,
  name: string,
  directory: string,
  options: MountImageOptions = {},
): Promise<MountedImage> {
  throwIfAborted(options.signal);
  const target = await existingDirectory(directory);
  await using lease = await store.leases.create();
  const top = await topSnapshot(store, name, { ...options, lease });
  const key = keyOf(target);
  if ((await store.snapshotter.stat(key)) !== undefined) {
    throw new UnpackError('IN_USE', `an image of this store is mounted at ${target} already`, {
      hint: `Run \`landfall umount ${target}\` first.`,
      details: { path: target },
    });
  }
  throwIfAborted(options.signal);
  const make = options.writable === true ? 'prepare' : 'view';
  const guards = [...(options.suid === true ? [] : ['nosuid']), ...(options.dev === true ? [] : ['nodev'])];
  const mounts = (await store.snapshotter[make](key, top)).map((mount) => {
    return { ...mount, options: [...mount.options, ...guards] };
  });
  try {
    for (const mount of mounts) mountFromSpec(mount, target);
  } catch (error) {
    await store.snapshotter.remove(key);
    throw error;
  }
  return { target, key, mounts };
}

/**
 * Unmounts what {@link mountImage} mounted, and drops the snapshot that held it: also after a reboot, which
 * has unmounted it.
 *
 * @throws
 * - {@link UnpackError} SNAPSHOT_NOT_FOUND (no image of this store is mounted there), IN_USE (a process uses
 *   it), FILESYSTEM
 * - {@link LandfallError} ABORTED, before it is unmounted
 */
export async function unmountImage(
  store: Store,
  directory: string,
  { signal }: Abortable = {},
): Promise<UnmountedImage> {
  throwIfAborted(signal);
  const target = await realpath(directory).catch(() => resolve(directory));
  const key = keyOf(target);
  if ((await store.snapshotter.stat(key)) === undefined) {
    throw new UnpackError(
      'SNAPSHOT_NOT_FOUND',
      `no image of the store at ${store.root} is mounted at ${target}`,
      {
        hint: 'Name the directory that was given to `landfall mount`, and the same --root.',
        details: { path: target },
      },
    );
  }
  // After a reboot the mount is gone while its snapshot is still here: then only the latter is left to do.
  if (isMountPoint(target)) unmount(target);
  await store.snapshotter.remove(key);
  return { target };
}

/**
 * The snapshot of an image's topmost layer; undefined for an image without layers, whose root file system
 * is empty. Looks for all layers, not for the topmost alone: the lower ones may lie in an additional store
 * that is gone.
 */
async function topSnapshot(
  store: Store,
  name: string,
  o: ImageMountsOptions & { readonly lease: Lease },
): Promise<string | undefined> {
  const { name: canonical, target } = await resolveImage(store, name);
  const image = await loadImage(store.content, target, o.platform);
  if (o.policy !== undefined) {
    const [{ admitUse }, { registryImage }] = await Promise.all([
      import('../trust/admit-image.js'),
      import('../../trust/index.js'),
    ]);
    const { policy, signal } = o;
    const { content } = store;
    const governed = {
      policy,
      image: registryImage(parseReference(canonical)),
      target,
      content,
      store,
      signal,
    };
    await admitUse({ ...governed, manifest: image.manifestDescriptor });
  }
  // An image of an additional store is held by no name of this one.
  await o.lease.addSnapshot(...image.layers.map(({ chainId }) => chainId));
  let top: string | undefined;
  for (const { chainId } of image.layers) {
    const snapshot = await store.snapshotter.findChain(chainId);
    if (snapshot === undefined) {
      requireUnpackable(image.layers, store.limits);
      throw notUnpacked(name, image.platform);
    }
    top = snapshot.name;
  }
  await touchImage(store, canonical);
  return top;
}

function notUnpacked(name: string, platform: Platform): UnpackError {
  const [of, option] = isRunnablePlatform(platform)
    ? [` (${formatPlatform(platform)})`, `--platform ${formatPlatform(platform)} `]
    : ['', ''];
  return new UnpackError('SNAPSHOT_NOT_FOUND', `${name}${of} is here but not unpacked`, {
    hint: `Run \`landfall pull ${option}${name}\` to unpack it.`,
  });
}

/** A mount point names its snapshot, so that `umount DIR` finds it again in another process. */
function keyOf(target: string): string {
  return `mount:${target}`;
}

async function existingDirectory(directory: string): Promise<string> {
  try {
    const target = await realpath(directory);
    if ((await stat(target)).isDirectory()) return target;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
  throw new UnpackError('INVALID_CONFIG', `${directory} is not a directory`, {
    hint: `Make it first: mkdir -p ${directory}`,
    details: { path: directory },
  });
}
