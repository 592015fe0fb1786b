/*
 * Peak memory of a pull, for a small and a large layer. Method: an image with one layer of bytes that hardly compress is
 * served by docker-registry on loopback; `landfall pull` (download, verify, unpack) and `skopeo copy` to an OCI layout
 * (download, verify) pull it in turn into an empty store; read is the most memory that the largest process of each ever
 * held. One round to warm up, then five; printed are median, minimum, maximum, and the ratio of the medians. Stores are on
 * tmpfs where one can be mounted: three times the layer's size.
 *
 * Usage: npm run bench:memory -- [MIB …]        default: 100 1024
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import tar from 'tar-stream';
import type { BenchCase, ImageRecipe } from './contract.js';
import { ImageCache } from './images/image-cache.js';
import { LANDFALL, landfallPull } from './peers/landfall.js';
import { SKOPEO_COPY, skopeoCopy } from './peers/skopeo.js';
import { runCase } from './run-case.js';
import { median, summarize } from './statistics.js';
import { inWorkspace, type Workspace } from './workspace.js';

const ROUNDS = 5;
const WARMUP = 1;
const MIB = 1 << 20;

async function measureAll({ work, disk, signal }: Workspace): Promise<number> {
  const sizes = process.argv.slice(2).map(Number);
  const images = new ImageCache(join(work, 'images'), work, () => undefined);
  const say = (): void => undefined;
  for (const mib of sizes.length === 0 ? [100, 1024] : sizes) {
    const options = { work, disk, images, rounds: ROUNDS, warmup: WARMUP, signal, say };
    const { contestants, notes } = await runCase(oneLayerOf(mib), options);
    const peaks = contestants.map(({ name, samples }) => ({
      name,
      values: samples.map(({ peakBytes }) => peakBytes),
    }));
    for (const each of peaks.filter(({ values }) => values.length > 0)) console.log(describe(mib, each));
    const own = peaks.find(({ name }) => name === LANDFALL)?.values ?? [];
    const others = peaks.find(({ name }) => name === SKOPEO_COPY)?.values ?? [];
    if (own.length > 0 && others.length > 0) {
      const ratio = median(own) / median(others);
      console.log(`one layer of ${mib} MiB  landfall / skopeo ${ratio.toFixed(2)}`);
    }
    for (const note of notes) console.log(note);
  }
  return 0;
}

function describe(mib: number, { name, values }: { name: string; values: readonly number[] }): string {
  const { median: middle, minimum, maximum } = summarize(values);
  const spread = `${show(minimum)} to ${show(maximum)}`;
  return `one layer of ${mib} MiB  ${name.padEnd(11)} median ${show(middle)}  (${spread}, ${values.length} runs)`;
}

const show = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

function oneLayerOf(mib: number): BenchCase {
  return {
    id: 'memory',
    title: `one layer of ${mib} MiB`,
    description: 'A pull of one layer of bytes that hardly compress.',
    reference: [SKOPEO_COPY],
    targets: [],
    open: async (environment) => {
      const { reference } = await environment.publish(largeFile(mib));
      return {
        contestants: [
          await landfallPull({ name: LANDFALL, reference }),
          ...(await skopeoCopy(environment, reference)),
        ],
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    },
  };
}

function largeFile(mib: number): ImageRecipe {
  return {
    name: `large-file-${mib}`,
    version: 1,
    async build(layout) {
      const pack = tar.pack();
      const adding = layout.addTar(Readable.from(pack), 'gzip');
      // One random block again and again, further apart than gzip looks back: new to gzip each time, and
      // quick to make.
      const block = randomBytes(MIB);
      const entry = pack.entry({ name: 'large', size: mib * MIB }, () => undefined);
      for (let i = 0; i < mib; i++) if (!entry.write(block)) await once(entry, 'drain');
      entry.end(Buffer.alloc(0));
      pack.finalize();
      await adding;
    },
  };
}

process.exitCode = await inWorkspace(tmpdir(), measureAll, (text) => console.error(text));
