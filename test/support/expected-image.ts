import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { formatReference, parseReference } from '../../src/spec/index.js';
import { LANDFALL } from './landfall-command.js';
import { storeTables } from './store-tables.js';
import { HERE } from './mount-namespace.js';
import { listMounted, listTree } from './tree-listing.js';
import type { TinyLayout } from './tiny-image.js';
import { landfall, landfallJson } from './warm-command.js';

/** What a store must hold that has this image. */
export interface ExpectedImage {
  /** Canonical. */
  readonly name: string;
  readonly layout: TinyLayout;
  /** The listing of each chain's own directory. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** The listing of the image as it is mounted. */
  readonly tree: readonly string[];
}

/**
 * Pulls an image to a store of its own, where nothing goes wrong, and looks what it becomes. What
 * `makeTinyLayout` puts in must be what is in it: the layout is the other source of truth.
 */
export async function expectedImage(reference: string, layout: TinyLayout): Promise<ExpectedImage> {
  const work = await mkdtemp(join(tmpdir(), 'landfall-expected-'));
  try {
    const root = join(work, 'root');
    const target = join(work, 'target');
    await mkdir(target);
    await landfallJson(['--root', root, 'pull', reference]);
    const chains = new Map<string, readonly string[]>();
    for (const { chainId, number } of (await storeTables(HERE, root)).chains) {
      chains.set(chainId, await listSnapshot(join(root, 'snapshots', `${number}`)));
    }
    const mount = `${process.execPath} ${LANDFALL} --root ${root} mount ${reference} ${target}`;
    const tree = withoutUnpackTimes(await listMounted(mount, target));
    await landfall(['--root', root, 'umount', target]);
    return { name: formatReference(parseReference(reference)), layout, chains, tree };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The listing of what a layer became. */
export async function listSnapshot(directory: string): Promise<readonly string[]> {
  return withoutUnpackTimes(await listTree(join(directory, 'fs')));
}

/** Without the times of what no layer lists: these images' roots, and the whiteouts of overlayfs. */
export function withoutUnpackTimes(listing: readonly string[]): readonly string[] {
  return listing.map((line) => {
    const fields = line.split('\t');
    const [kind, path, type] = fields;
    return kind === 'entry' && (path === '' || type === 'c') ? fields.slice(0, -1).join('\t') : line;
  });
}
