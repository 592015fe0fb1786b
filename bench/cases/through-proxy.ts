import type { BenchCase, BenchEnvironment, Contestant, ImageRecipe, Target } from '../contract.js';
import { MANY_LAYERS } from '../images/many-layers.js';
import { JAVA_LAYER } from '../images/java-layer.js';
import { CONTAINERD, containerd, containerdByInflater, CONTAINERDS } from '../peers/containerd.js';
import { LANDFALL, landfallByInflater, landfallPull } from '../peers/landfall.js';
import { skopeoCopy } from '../peers/skopeo.js';
import type { LineShape } from '../proxies/line.js';
import { startProxy } from '../proxies/start-proxy.js';
import { peakOf, whateverInflates } from './promise.js';

/** A cold pull over a line that is not loopback's. */
interface PullThroughProxy extends Omit<BenchCase, 'open'> {
  readonly recipe: ImageRecipe;
  readonly line: LineShape;
  readonly contestants: (environment: BenchEnvironment, reference: string) => Promise<Contestant[][]>;
}

function throughProxy({ recipe, line, contestants, ...rest }: PullThroughProxy): BenchCase {
  return {
    ...rest,
    open: async (environment) => {
      const { registry } = environment;
      const image = await environment.publish(recipe);
      const proxy = await startProxy(registry.address, line);
      const reference = image.reference.replace(registry.address, proxy.address);
      return {
        contestants: (await contestants(environment, reference)).flat(),
        [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
      };
    },
  };
}

export const FAR_REGISTRY: BenchCase = throughProxy({
  id: 'c',
  title: '40 small layers, 25 ms away',
  description:
    'A cold pull of 40 layers of 64 to 512 KB compressed, through a proxy that passes everything on 25 ms later each way and takes a round trip to connect.',
  recipe: MANY_LAYERS,
  line: { kind: 'far', oneWayMilliseconds: 25 },
  reference: CONTAINERDS,
  targets: whateverInflates(CONTAINERDS, 0.6),
  contestants: async (environment, reference) => [
    await containerdByInflater(environment, { reference }),
    await landfallByInflater(environment, { reference }),
  ],
});

const ONE_STREAM = 'landfall --concurrency 1';

export const CAPPED_CONNECTIONS: BenchCase = throughProxy({
  id: 'd',
  title: 'one layer, 20 MB/s a connection',
  description:
    'A cold pull of one layer of 154 MB compressed, through a proxy that lets each connection have 20 MB/s. skopeo copies it to an OCI layout and unpacks nothing.',
  recipe: JAVA_LAYER,
  line: { kind: 'capped', bytesPerSecond: 20e6 },
  reference: [CONTAINERD],
  targets: [timesAsFast(LANDFALL, ONE_STREAM, 3), peakOf(LANDFALL), peakOf(ONE_STREAM)],
  contestants: async (environment, reference) => [
    await containerd(environment, { reference }),
    await skopeoCopy(environment, reference),
    [
      await landfallPull({ name: ONE_STREAM, reference, options: ['--concurrency', '1'] }),
      await landfallPull({ name: LANDFALL, reference }),
    ],
  ],
});

function timesAsFast(fast: string, slow: string, atLeast: number): Target {
  return { figure: 'wall', of: slow, compare: 'ratio', against: [fast], atLeast };
}
