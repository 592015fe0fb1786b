import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unpackTree, WorkerPool, type UnpackEvent } from '../../src/unpack/index.js';
import { listArchive } from './archive-listing.js';
import { exported } from './exported.js';
import type { FormName } from './layer-case.js';
import { isRoot } from './needs-root.js';
import { TreeLister, type TreeListing } from './tree-lister.js';
import { createSnapshots, layerInput, removeTree } from './unpack-fixture.js';

/** A place that layers are unpacked in, again and again, to see what they come to. */
export interface UnpackedForm extends AsyncDisposable {
  /** Below which everything lies. */
  readonly root: string;
  /** @param layers - archives, bottom first */
  unpack(layers: readonly Buffer[]): Promise<UnpackedTree>;
}

export interface UnpackedTree {
  readonly listing: TreeListing;
  /** In no order. */
  readonly warnings: readonly string[];
  /** Paths of devices that were left out. */
  readonly omitted: readonly string[];
}

/** The forms that this user can have. */
export const FORMS: readonly FormName[] = isRoot
  ? ['overlay', 'userxattr', 'native', 'merged', 'exported']
  : ['userxattr', 'native', 'merged', 'exported'];

export function openForm(name: FormName): Promise<UnpackedForm> {
  if (name === 'exported') return openExported();
  return name === 'merged' ? openMerged() : openSnapshotForm(name);
}

async function openSnapshotForm(kind: 'overlay' | 'userxattr' | 'native'): Promise<UnpackedForm> {
  const snapshots = await createSnapshots(kind);
  const lister = new TreeLister({ userNamespace: kind === 'userxattr' || !isRoot });
  return {
    root: snapshots.root,
    unpack: async (layers) => {
      const reported = new Emitted();
      const inputs = await Promise.all(layers.map((layer) => snapshots.layer(layer)));
      const unpacked = await snapshots.unpacker.unpack(inputs, { onEvent: (event) => reported.add(event) });
      const mounts = await snapshots.snapshotter.view(randomUUID(), unpacked.at(-1)?.chainId);
      return { listing: await lister.mounted(mounts), ...reported.all };
    },
    [Symbol.asyncDispose]: async () => {
      await lister[Symbol.asyncDispose]();
      await snapshots[Symbol.asyncDispose]();
    },
  };
}

async function openMerged(): Promise<UnpackedForm> {
  const root = await mkdtemp(join(tmpdir(), 'landfall-merged-'));
  const pool = new WorkerPool({ size: 2 });
  const lister = new TreeLister();
  await mkdir(join(root, 'trees'));
  return {
    root,
    unpack: async (layers) => {
      const reported = new Emitted();
      const directory = join(root, 'trees', randomUUID());
      const inputs = await Promise.all(layers.map((layer) => layerInput(root, layer)));
      await unpackTree(inputs, directory, { pool, onEvent: (event) => reported.add(event) });
      return { listing: await lister.directory(directory), ...reported.all };
    },
    [Symbol.asyncDispose]: async () => {
      await lister[Symbol.asyncDispose]();
      await pool.close();
      await removeTree(root);
    },
  };
}

async function openExported(): Promise<UnpackedForm> {
  const root = await mkdtemp(join(tmpdir(), 'landfall-exported-'));
  return {
    root,
    unpack: async (layers) => {
      const reported = new Emitted();
      const archive = await exported(layers, { onEvent: (event) => reported.add(event) });
      return { listing: listArchive(archive), ...reported.all };
    },
    [Symbol.asyncDispose]: () => removeTree(root),
  };
}

class Emitted {
  readonly #warnings: string[] = [];
  readonly #omitted: string[] = [];

  add(event: UnpackEvent): void {
    if (event.type === 'warning') this.#warnings.push(event.message);
    if (event.type === 'omitted') this.#omitted.push(...event.devices.map(({ path }) => path));
  }

  get all(): Pick<UnpackedTree, 'warnings' | 'omitted'> {
    return { warnings: this.#warnings, omitted: this.#omitted };
  }
}
