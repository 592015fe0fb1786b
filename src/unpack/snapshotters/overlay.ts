import { chownSync, existsSync, statSync } from 'node:fs';
import { fstat, inUserNamespace, overlaySpec } from '../../system/index.js';
import type { IdMappings } from '../bundle/runtime-config.js';
import { copyAttributes, isOpaque } from '../disk/file-attributes.js';
import type { LayerChanges } from '../terms/layer-changes.js';

import type { Mount, SnapshotKind } from '../snapshotter.js';
import { Opened, openTree } from '../disk/tree-walk.js';
import { DirectorySnapshotter, type SnapshotterOptions } from './directory-snapshotter.js';
import { idMapped, mappedOwner } from './id-mappings.js';

export interface OverlaySnapshotterOptions extends SnapshotterOptions {
  /**
   * Whether whiteouts take the form for user namespaces (`user.overlay.*` xattrs). Default: where this
   * process may not set `trusted.*` xattrs, that is not as root or inside a user namespace.
   */
  readonly userxattr?: boolean;
}

/**
 * Snapshots as the kernel's overlayfs mounts them: a directory for each layer, holding only what that layer
 * changes.
 */
export class OverlaySnapshotter extends DirectorySnapshotter {
  readonly #userxattr: boolean;
  readonly layerNames: readonly [string, ...string[]] = ['fs', 'work'];
  protected readonly activeNames: readonly string[] = ['fs', 'work'];
  protected readonly fillsAtOnce = true;
  protected readonly mapsIds = true;

  constructor(o: OverlaySnapshotterOptions) {
    super('overlay', o);
    this.#userxattr = o.userxattr ?? (process.geteuid?.() !== 0 || inUserNamespace());
  }

  protected mountsOf(
    number: number,
    kind: SnapshotKind,
    parents: readonly number[],
    mappings?: IdMappings,
  ): readonly Mount[] {
    const mount = this.#mountOf(number, kind, parents, mappings !== undefined);
    // What has no parent is shown as it is: its owners are those on the disk.
    return [mappings === undefined || parents.length === 0 ? mount : idMapped(mount, mappings)];
  }

  #mountOf(number: number, kind: SnapshotKind, parents: readonly number[], isMapped: boolean): Mount {
    const lower = this.shown(parents).map((parent) => this.directories.realContent(parent));
    const userxattr = this.#userxattr;
    const own = this.directories.content(number);
    if (kind === 'active') {
      return overlaySpec({ lower, upper: own, work: this.directories.work(number) }, { userxattr });
    }
    if (lower.length === 0) return overlaySpec({ lower, upper: own }, { readOnly: true });
    const [top] = parents;
    // One layer is a bind mount, which would show the mark that hides the others; and containerd maps no
    // owners of one.
    if (lower.length === 1 && (isMapped || (top !== undefined && this.#isRootOpaque(top)))) {
      return overlaySpec({ lower: [...lower, this.directories.empty()] }, { userxattr });
    }
    return overlaySpec({ lower }, { userxattr });
  }

  /** The merged root is the topmost directory's, so it starts as the parent's. */
  protected fill(number: number, parents: readonly number[], mappings?: IdMappings): Promise<void> {
    const [parent] = parents;
    const content = this.directories.content(number);
    if (parent !== undefined) copyRootAttributes(this.directories.content(parent), content);
    // The owners of an upper directory are on the disk as the host sees them: only lower ones are mapped.
    if (mappings !== undefined) {
      const { uid, gid } = mappedOwner(mappings, statSync(content));
      chownSync(content, uid, gid);
    }
    return Promise.resolve();
  }

  async complete(
    number: number,
    parents: readonly number[],
    changes: LayerChanges,
  ): Promise<readonly string[]> {
    const result = await this.pool.run({
      kind: 'complete',
      directory: this.directories.content(number),
      form: this.#userxattr ? 'userxattr' : 'overlay',
      parents: this.shown(parents).map((parent) => this.directories.content(parent)),
      changes,
    });
    return result.warnings;
  }

  /**
   * The kernel merges the roots of all layers, whatever they say, so what an opaque root hides is left out
   * here.
   */
  protected shown(lineage: readonly number[]): readonly number[] {
    const last = lineage.findIndex((number) => this.#isRootOpaque(number));
    return last < 0 ? lineage : lineage.slice(0, last + 1);
  }

  #isRootOpaque(number: number): boolean {
    const content = this.directories.content(number);
    if (!existsSync(content)) return false;
    using opened = new Opened(openTree(content));
    return isOpaque(opened.fd, '');
  }
}

function copyRootAttributes(from: string, to: string): void {
  using source = new Opened(openTree(from));
  using target = new Opened(openTree(to));
  copyAttributes(
    { dirfd: source.fd, name: '.' },
    { dirfd: target.fd, name: '.' },
    fstat(source.fd),
    new Set(),
  );
}
