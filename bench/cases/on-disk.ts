import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { output } from '../bound-process.js';
import type { BenchCase, Contestant, RunContext, Sample } from '../contract.js';
import { diskBytesPerSecond } from '../disk-speed.js';
import { TWO_LAYERS } from '../images/two-layers.js';
import { landfallPull, type Sync } from '../peers/landfall.js';
import { peakOf } from './promise.js';

const SPEED = 'diskBytesPerSecond';
const PROBE_BYTES = 64 << 20;
const SYNCS: readonly Sync[] = ['full', 'blobs', 'none'];
const nameOf = (sync: Sync): string => `landfall --sync=${sync}`;

export const ON_DISK: BenchCase = {
  id: 'k',
  title: 'on disk, --sync',
  description:
    'A cold pull of Debian 13 and one layer above it, 128 MB compressed and 384 MB unpacked, into a store on disk. Before each run what is still to be written is synced, and 64 MB are written and synced to see how fast the disk is at that time.',
  reference: [nameOf('blobs')],
  targets: [
    { figure: 'wall', of: nameOf('full'), compare: 'ratio', against: [nameOf('blobs')], atMost: 1.3 },
    ...SYNCS.map((sync) => peakOf(nameOf(sync))),
  ],
  open: async (environment) => {
    const { reference } = await environment.publish(TWO_LAYERS);
    const pulls = SYNCS.map((sync) => landfallPull({ name: nameOf(sync), reference, sync }));
    return {
      contestants: (await Promise.all(pulls)).map((pull) => below(environment.disk, pull)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

/**
 * The same with its directory on the disk. What it leaves there stays until the case is over: ext4 gives no
 * inode away again within five seconds of its removal, and looks past each of them for every new file.
 */
function below(disk: string, pull: Contestant): Contestant {
  let directory = disk;
  let speed = NaN;
  return {
    ...pull,
    prepare: async () => {
      directory = await mkdtemp(join(disk, 'run-'));
      await output('sync', ['--file-system', disk]);
      speed = await diskBytesPerSecond(disk, PROBE_BYTES);
    },
    run: async (context: RunContext): Promise<Sample> => {
      const sample = await pull.run({ ...context, directory });
      return { ...sample, extra: { [SPEED]: speed } };
    },
  };
}
