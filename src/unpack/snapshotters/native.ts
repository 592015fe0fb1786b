import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Abortable } from '../../errors.js';
import type { LayerChanges } from '../terms/layer-changes.js';
import { lowestChanges } from '../merge/merge-layer.js';
import type { Mount, SnapshotKind } from '../snapshotter.js';
import { DirectorySnapshotter, type SnapshotterOptions } from './directory-snapshotter.js';
import { removeDirectory } from './remove-directory.js';

const LAYER = 'layer';

/**
 * Snapshots as whole trees: each is a full copy of its parent with its own changes, by reflink where the file
 * system has it. For machines without overlayfs.
 */
export class NativeSnapshotter extends DirectorySnapshotter {
  readonly layerNames: readonly [string, ...string[]] = [LAYER];
  protected readonly activeNames: readonly string[] = ['fs'];
  protected readonly fillsAtOnce = false;
  protected readonly mapsIds = false;

  constructor(o: SnapshotterOptions) {
    super('native', o);
  }

  protected mountsOf(number: number, kind: SnapshotKind, parents: readonly number[]): readonly Mount[] {
    const [parent] = parents;
    if (kind === 'active') return [bind(this.directories.content(number), 'rw')];
    return [bind(this.directories.realContent(parent ?? number), 'ro')];
  }

  protected async fill(number: number, parents: readonly number[]): Promise<void> {
    const [parent] = parents;
    if (parent === undefined) return;
    const [source, target] = [this.directories.content(parent), this.directories.content(number)];
    await this.pool.run({ kind: 'copy', source, target });
  }

  async complete(
    number: number,
    parents: readonly number[],
    changes: LayerChanges,
    o: Abortable,
  ): Promise<readonly string[]> {
    const target = this.directories.content(number);
    const directory = join(this.directories.path(number), LAYER);
    const [parent] = parents;
    await mkdir(target);
    const warnings: string[] = [];
    const own = parent === undefined ? lowestChanges(changes) : changes;
    if (parent !== undefined) {
      const source = this.directories.content(parent);
      warnings.push(...(await this.pool.run({ kind: 'copy', source, target }, o)).warnings);
    }
    const merge = { kind: 'merge', directory, target, changes: own } as const;
    warnings.push(...(await this.pool.run(merge, o)).warnings);
    await removeDirectory(directory);
    return warnings;
  }

  protected shown(lineage: readonly number[]): readonly number[] {
    return lineage.slice(0, 1);
  }
}

function bind(source: string, access: 'ro' | 'rw'): Mount {
  return { type: 'bind', source, options: [access, 'rbind'] };
}
