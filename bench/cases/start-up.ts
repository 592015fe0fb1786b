import { join } from 'node:path';
import { openStore } from '../../src/engine/store.js';
import type { BenchCase, Contestant, Programs } from '../contract.js';
import { measureCommand } from '../measure.js';
import { LANDFALL_COMMAND, landfallVersion } from '../peers/landfall.js';
import { NODE_NOTHING, nodeNothing } from '../peers/node.js';
import { versionOf } from '../programs.js';
import { ScaleStore } from '../scale-store.js';
import { peakOf } from './promise.js';
import { shortRounds } from './short-rounds.js';

const VERSION = 'landfall --version';
const IMAGES = 'landfall images';
/** A node's store: each image has four platforms, of which one is unpacked. */
const STORE = { images: 50, blobs: 2500, snapshots: 500 };

export const START_UP: BenchCase = {
  id: 'j',
  title: 'start-up',
  description: `What a command takes that does next to nothing: \`--version\`, and \`images\` over a store of ${STORE.images} images.`,
  reference: [],
  targets: [
    { figure: 'wall', of: VERSION, compare: 'difference', against: [NODE_NOTHING], atMost: 0.04 },
    peakOf(VERSION),
    peakOf(IMAGES),
  ],
  rounds: shortRounds,
  open: async ({ work, programs }) => {
    const root = join(work, 'store');
    await fillStore(root);
    const version = await landfallVersion();
    const landfall = (name: string, ...args: string[]): Contestant => ({
      name,
      version,
      run: () => measureCommand(process.execPath, [LANDFALL_COMMAND, ...args]),
    });
    return {
      contestants: [
        nodeNothing(),
        landfall(VERSION, '--version'),
        landfall(IMAGES, '--root', root, 'images'),
        ...(await versionTellers(programs)),
      ],
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

async function fillStore(root: string): Promise<void> {
  await using store = await openStore({ root, snapshotter: 'overlay' });
  await new ScaleStore(store, STORE).write(Array.from({ length: STORE.images }, (_, image) => image));
}

async function versionTellers(programs: Programs): Promise<Contestant[]> {
  const here = ['skopeo', 'ctr'].filter((program) => programs.have(program));
  return await Promise.all(
    here.map(async (program) => ({
      name: `${program} --version`,
      version: await versionOf(program),
      run: () => measureCommand(program, ['--version']),
    })),
  );
}
