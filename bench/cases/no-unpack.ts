import type { BenchCase } from '../contract.js';
import { SEVEN_LAYERS } from '../images/seven-layers.js';
import { LANDFALL, landfallPull } from '../peers/landfall.js';
import { SKOPEO_COPY, skopeoCopy } from '../peers/skopeo.js';
import { peakOf, wallRatio } from './promise.js';

export const NO_UNPACK: BenchCase = {
  id: 'i',
  title: 'without unpacking',
  description: 'The image of (a) into an empty OCI layout: `landfall pull --no-unpack`, `skopeo copy`.',
  reference: [SKOPEO_COPY],
  targets: [wallRatio(LANDFALL, [SKOPEO_COPY], 1), peakOf(LANDFALL)],
  open: async (environment) => {
    const { reference } = await environment.publish(SEVEN_LAYERS);
    return {
      contestants: [
        ...(await skopeoCopy(environment, reference)),
        await landfallPull({ name: LANDFALL, reference, options: ['--no-unpack'] }),
      ],
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};
