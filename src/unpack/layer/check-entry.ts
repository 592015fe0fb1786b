import { UnpackError } from '../../errors.js';
import type { UnpackLimits } from '../../spec/index.js';
import { type BytePath, fromBytePath } from '../../system/index.js';
import { badArchive, limitExceeded, printable } from '../terms/archive-error.js';
import type { TarEntry } from '../tar/tar-header.js';
import type { Warnings } from '../terms/warnings.js';
import type { OmittedDevice } from '../jobs/apply-job.js';
import type { LayerNode } from './layer-node.js';
import type { LayerTree } from './layer-tree.js';

/** The kernel keeps 12 bits of a major number and 20 of a minor one (linux/kdev_t.h). */
const MAX_MAJOR = 2 ** 12 - 1;
const MAX_MINOR = 2 ** 20 - 1;

type DeviceEntry = TarEntry & { readonly type: 'character' | 'block' };

/**
 * Refuses what no layer may ask for, whatever it is put into.
 *
 * @throws {UnpackError} BAD_ARCHIVE, LIMIT_EXCEEDED, UNSUPPORTED_ENTRY
 */
export function checkEntry(entry: TarEntry, { linkBytes }: Pick<UnpackLimits, 'linkBytes'>): void {
  if (entry.type === 'symlink') checkTarget(entry.linkPath.length, linkBytes);
  if (isDevice(entry)) checkDevice(entry);
}

export function isDevice(entry: TarEntry): entry is DeviceEntry {
  return entry.type === 'character' || entry.type === 'block';
}

/** What does not fit the kernel's bits would become another device where it is cut off: 4096:0 would be 0:0. */
function checkDevice({ type, major, minor }: DeviceEntry): void {
  if (major < 0 || major > MAX_MAJOR || minor < 0 || minor > MAX_MINOR) {
    throw new UnpackError(
      'UNSUPPORTED_ENTRY',
      `a device ${major}:${minor}, whose numbers Linux does not have`,
      { hint: 'Build the layer on Linux.' },
    );
  }
  if (type !== 'character' || major !== 0 || minor !== 0) return;
  throw new UnpackError(
    'UNSUPPORTED_ENTRY',
    'a character device 0:0, which overlay mounts take for a whiteout',
    { hint: 'Build the layer with a .wh. entry where a whiteout is meant.' },
  );
}

function checkTarget(bytes: number, linkBytes: number): void {
  if (bytes === 0) throw badArchive('a symbolic link has no target');
  if (bytes < linkBytes) return;
  throw limitExceeded(`the target of a symbolic link has ${bytes} bytes`);
}

/** A list of devices has to stop somewhere; the warning says that there are any. */
const TOLD = 1000;

/** The device nodes of a layer that are not made. */
export class OmittedDevices {
  /** In the archive's order; only the first thousand of them. */
  readonly told: OmittedDevice[] = [];
  readonly #tree: LayerTree;
  readonly #warnings: Warnings;
  /** What would be at a name, in a directory as long as the layer has it. */
  readonly #devices = new WeakMap<LayerNode, Map<BytePath, DeviceEntry>>();

  constructor(tree: LayerTree, warnings: Warnings) {
    this.#tree = tree;
    this.#warnings = warnings;
  }

  /** Leaves a device out. What the lower layers have at the name must not show through. */
  omit(parent: LayerNode, name: BytePath, device: DeviceEntry, reason: string): void {
    const { path, type, major, minor } = device;
    this.#tree.remove(parent, name);
    parent.addWhiteout(name);
    const devices = this.#devices.get(parent) ?? new Map<BytePath, DeviceEntry>();
    this.#devices.set(parent, devices.set(name, device));
    if (this.told.length < TOLD) {
      this.told.push({ path: fromBytePath(parent.pathOf(name)), type, major, minor });
    }
    this.#warnings.once(type, `${type} devices are left out, ${reason}; the first is ${printable(path)}`);
  }

  /** The device that would be at a name where nothing is. */
  at(parent: LayerNode, name: BytePath): DeviceEntry | undefined {
    return this.#devices.get(parent)?.get(name);
  }
}
