import type { BenchCase, BenchRegistry, Contestant, RunContext, Sample } from '../contract.js';
import { MANY_LAYERS } from '../images/many-layers.js';
import { CONTAINERD, containerd } from '../peers/containerd.js';
import { LANDFALL, landfallPull } from '../peers/landfall.js';
import { NODE_NOTHING, nodeNothing } from '../peers/node.js';
import { skopeoCopy } from '../peers/skopeo.js';
import { peakOf } from './promise.js';
import { shortRounds } from './short-rounds.js';

const HEADS = 'headRequests';
const OTHERS = 'otherRequests';

export const WARM_PULL: BenchCase = {
  id: 'g',
  title: 'warm re-pull',
  description:
    'The pull of an image of 40 layers that was pulled into the same store just before. Requests are those that the registry saw. For containerd the daemon runs already; skopeo copies to the same OCI layout again.',
  reference: [CONTAINERD],
  targets: [
    { figure: HEADS, of: LANDFALL, compare: 'value', atMost: 1 },
    { figure: OTHERS, of: LANDFALL, compare: 'value', atMost: 0 },
    { figure: 'wall', of: LANDFALL, compare: 'difference', against: [NODE_NOTHING], atMost: 0.15 },
    peakOf(LANDFALL),
  ],
  rounds: shortRounds,
  open: async (environment) => {
    const { reference } = await environment.publish(MANY_LAYERS);
    const pulls = [
      ...(await containerd(environment, { reference })),
      ...(await skopeoCopy(environment, reference)),
      await landfallPull({ name: LANDFALL, reference }),
    ];
    return {
      contestants: [nodeNothing(), ...pulls.map((pull) => again(pull, environment.registry))],
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

/** The second of two pulls into one store, with what it asked the registry. */
function again(pull: Contestant, registry: BenchRegistry): Contestant {
  return {
    ...pull,
    prepare: async (context: RunContext): Promise<void> => {
      await pull.prepare?.(context);
      await pull.run(context);
    },
    run: async (context: RunContext): Promise<Sample> => {
      await registry.takeRequests();
      const sample = await pull.run(context);
      const requests = await registry.takeRequests();
      const heads = requests.filter(({ method }) => method === 'HEAD').length;
      return { ...sample, extra: { ...sample.extra, [HEADS]: heads, [OTHERS]: requests.length - heads } };
    },
  };
}
