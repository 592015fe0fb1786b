import { closeSync } from 'node:fs';
import { LandfallError } from '../../errors.js';
import { openat, procFdPath } from '../calls/at.js';
import { bindMount, mount2, mountError, mountFlags } from './bind-mount.js';
import { SystemError, toBytePath } from '../calls/libc.js';
import { AT_FDCWD, O_DIRECTORY, O_PATH } from '../calls/stat.js';
import { attachMount, FilesystemContext, lacksMountCall, MOUNT_ATTR_RDONLY } from './mount-api.js';

/** The directories of an overlay mount, as ordinary strings. */
export interface OverlayLayers {
  /** Read-only layers, topmost first. May be empty where there is an upper directory. */
  lower: readonly string[];
  /** Where changes go. */
  upper?: string;
  /** An empty directory on the file system of `upper`; goes with it. */
  work?: string;
}

export interface OverlayMount extends OverlayLayers {
  target: string;
  readOnly: boolean;
  /**
   * Whiteouts are told by `user.overlay.*` attributes rather than `trusted.overlay.*`: for mounts in a user
   * namespace.
   */
  userxattr?: boolean;
  /** More MOUNT_ATTR_* of the mount. */
  attributes?: number;
}

/** What overlayfs holds (fs/overlayfs: OVL_MAX_STACK). */
const MAX_LAYERS = 500;
/** fsconfig takes values of at most this many bytes. */
const LONGEST_VALUE = 255;
/** mount(2) takes one page of options. */
const PAGE = 4096;

/**
 * Mounts layers over one another. What overlayfs refuses is mounted in the way that shows the same: a single
 * layer without an upper directory as a read-only bind mount, an upper directory alone as a bind mount.
 *
 * @throws LandfallError UNSUPPORTED (no privilege, no overlayfs, more layers than this kernel takes),
 *   INVALID_CONFIG, IN_USE, NO_SPACE, FILESYSTEM
 */
export function mountOverlay(mount: OverlayMount): void {
  const { lower, upper, target, readOnly, attributes = 0 } = mount;
  if (lower.length > 0 && (upper === undefined) !== (mount.work === undefined)) {
    throw new LandfallError(
      'INVALID_CONFIG',
      'an overlay mount has an upper and a work directory, or neither',
    );
  }
  if (lower.length > MAX_LAYERS) {
    throw new LandfallError(
      'UNSUPPORTED',
      `an overlay mount holds ${MAX_LAYERS} layers, not ${lower.length}`,
      {
        hint: 'Use the native snapshotter or `landfall unpack`, which need no mounts.',
      },
    );
  }
  const [only] = lower;
  if (only === undefined) {
    if (upper === undefined)
      throw new LandfallError('INVALID_CONFIG', 'an overlay mount needs at least one directory');
    bindMount({ source: upper, target, readOnly, attributes });
  } else if (upper === undefined && lower.length === 1) {
    bindMount({ source: only, target, readOnly: true, attributes });
  } else {
    mountUnion(mount);
  }
}

function mountUnion(mount: OverlayMount): void {
  using names = new LayerNames();
  try {
    const plain = names.plain(mount);
    if (!mountByContext(mount, plain)) mountByOptions(mount, plain, () => names.short(mount));
  } catch (error) {
    throw mountError(error, `mount an overlay of ${mount.lower.length} layers`, mount.target);
  }
}

/**
 * Names for directories that need no escape and are short: how `:`, `,` and `\` are escaped has changed
 * between kernels, and what needs no escape works in all of them. A directory whose own path will not do is
 * named by a descriptor, which stays open until this is disposed of.
 */
export class LayerNames implements Disposable {
  readonly #opened: number[] = [];

  /** Every directory's own path where that will do. */
  plain(layers: OverlayLayers): OverlayLayers {
    return this.#rename(layers, (path) =>
      /[\\:,]/.test(path) || Buffer.byteLength(path) > LONGEST_VALUE ? this.#byDescriptor(path) : path,
    );
  }

  /** Every directory by a descriptor. */
  short(layers: OverlayLayers): OverlayLayers {
    return this.#rename(layers, (path) => this.#byDescriptor(path));
  }

  [Symbol.dispose](): void {
    for (const fd of this.#opened.splice(0)) closeSync(fd);
  }

  #byDescriptor(path: string): string {
    const fd = openat(AT_FDCWD, toBytePath(path), O_PATH | O_DIRECTORY);
    this.#opened.push(fd);
    return procFdPath(fd);
  }

  #rename({ lower, upper, work }: OverlayLayers, name: (path: string) => string): OverlayLayers {
    return {
      lower: lower.map(name),
      ...(upper === undefined ? {} : { upper: name(upper) }),
      ...(work === undefined ? {} : { work: name(work) }),
    };
  }
}

/** False where this kernel cannot add layers one by one (before 6.7); nothing was done then. */
function mountByContext(mount: OverlayMount, names: OverlayLayers): boolean {
  let context: FilesystemContext;
  try {
    context = new FilesystemContext('overlay');
  } catch (error) {
    if (lacksMountCall(error)) return false;
    throw error;
  }
  try {
    if (!appendLayers(context, names)) return false;
    const fd = createOverlay(context, names, mount);
    // Left open, the descriptor would keep the mount busy.
    try {
      attachMount(fd, mount.target);
    } finally {
      closeSync(fd);
    }
    return true;
  } catch (error) {
    throw mountError(
      error,
      `mount an overlay of ${mount.lower.length} layers`,
      mount.target,
      context.message(),
    );
  } finally {
    context.close();
  }
}

/** Adds the lower layers; false where the kernel does not know how. */
export function appendLayers(context: FilesystemContext, names: OverlayLayers): boolean {
  for (const path of names.lower) {
    try {
      context.set('lowerdir+', path);
    } catch (error) {
      // An option that is unknown and one with a bad value are both EINVAL; only the first layer can meet the
      // former.
      if (path === names.lower[0] && error instanceof SystemError && error.code === 'EINVAL') return false;
      throw error;
    }
  }
  return true;
}

/** Returns a descriptor of a mount that is attached nowhere yet. */
export function createOverlay(
  context: FilesystemContext,
  names: OverlayLayers,
  o: { readOnly: boolean; userxattr?: boolean; attributes?: number },
): number {
  context.set('source', 'overlay');
  if (names.upper !== undefined) context.set('upperdir', names.upper);
  if (names.work !== undefined) context.set('workdir', names.work);
  if (o.userxattr === true) context.flag('userxattr');
  return context.mount((o.attributes ?? 0) | (o.readOnly ? MOUNT_ATTR_RDONLY : 0));
}

/** mount(2): all options in one page, so names are made short where the full ones do not fit. */
export function mountByOptions(mount: OverlayMount, plain: OverlayLayers, short: () => OverlayLayers): void {
  const userxattr = mount.userxattr === true;
  let options = overlayOptions(plain, userxattr);
  if (Buffer.byteLength(options) >= PAGE) options = overlayOptions(short(), userxattr);
  if (Buffer.byteLength(options) >= PAGE) {
    throw new LandfallError(
      'UNSUPPORTED',
      `${mount.lower.length} layers do not fit one page of mount options`,
      {
        hint: 'This kernel mounts about 220 layers at once, Linux 6.7 and newer 500; `landfall unpack` needs no mount.',
      },
    );
  }
  const attributes = (mount.attributes ?? 0) | (mount.readOnly ? MOUNT_ATTR_RDONLY : 0);
  mount2('overlay', mount.target, 'overlay', mountFlags(attributes), options);
}

function overlayOptions(names: OverlayLayers, userxattr: boolean): string {
  const options = [`lowerdir=${names.lower.join(':')}`];
  if (names.upper !== undefined) options.push(`upperdir=${names.upper}`);
  if (names.work !== undefined) options.push(`workdir=${names.work}`);
  if (userxattr) options.push('userxattr');
  return options.join(',');
}
