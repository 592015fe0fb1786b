import type {
  BenchCase,
  BenchRegistry,
  Contestant,
  PublishedImage,
  RunContext,
  Sample,
} from '../contract.js';
import { WITH_GO, WITH_RUST } from '../images/shared-layers.js';
import { CONTAINERD, containerd } from '../peers/containerd.js';
import { LANDFALL, landfallPull } from '../peers/landfall.js';
import { peakOf } from './promise.js';

/** Bytes that were transferred beyond the manifest, the config and the one layer that are new. */
const REPEATED = 'repeatedBytes';
const TRANSFERRED = 'transferredBytes';

export const SHARED_LAYERS: BenchCase = {
  id: 'h',
  title: 'most layers shared',
  description:
    'The pull of an image of four layers, three of which (230 MB) came with another image just before. Transferred bytes are those of the registry, by its access log.',
  reference: [CONTAINERD],
  targets: [{ figure: REPEATED, of: LANDFALL, compare: 'value', atMost: 0 }, peakOf(LANDFALL)],
  open: async (environment) => {
    const first = await environment.publish(WITH_GO);
    const second = await environment.publish(WITH_RUST);
    const pull = { reference: second.reference, first: first.reference };
    const contestants = [
      ...(await containerd(environment, pull)),
      await landfallPull({ ...pull, name: LANDFALL }),
    ];
    const newBytes = bytesOfNew(first, second);
    return {
      contestants: contestants.map((each) => countingBytes(each, environment.registry, newBytes)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

function bytesOfNew(first: PublishedImage, second: PublishedImage): number {
  const here = new Set([...first.layers, first.config].map(({ digest }) => digest));
  const needed = [...second.layers, second.config, second.manifest];
  return needed.filter(({ digest }) => !here.has(digest)).reduce((sum, { size }) => sum + size, 0);
}

function countingBytes(contestant: Contestant, registry: BenchRegistry, newBytes: number): Contestant {
  const run = async (context: RunContext): Promise<Sample> => {
    await registry.takeRequests();
    const sample = await contestant.run(context);
    const gets = (await registry.takeRequests()).filter(({ method }) => method === 'GET');
    const transferred = gets.reduce((sum, { bytes }) => sum + bytes, 0);
    const counted = { [TRANSFERRED]: transferred, [REPEATED]: transferred - newBytes };
    return { ...sample, extra: { ...sample.extra, ...counted } };
  };
  return { ...contestant, run };
}
