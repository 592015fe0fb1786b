import { fromBytePath, type BytePath } from '../../system/index.js';
import type { OmittedDevice } from '../worker/apply-job.js';
import { printable } from '../archive-error.js';
import type { Warnings } from '../warnings.js';
import type { DeviceEntry } from './check-entry.js';
import type { LayerNode } from './layer-node.js';
import type { LayerTree } from './layer-tree.js';

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
