import type { LoadedImage } from '../../engine/images/image.js';
import { fromUnpackEvent, type PullEvent, type PullEventBody } from '../../engine/pull/pull-report.js';
import type { UnpackEvent } from '../../unpack/index.js';

/**
 * Turns the events of unpacking a local image into those of a pull that has every blob already, so that the same
 * displays show both. Tells at once what is to be done; the function that it returns takes the rest.
 */
export function unpackEvents(
  reference: string,
  image: LoadedImage,
  tell: (event: PullEvent) => void,
): (event: UnpackEvent) => void {
  const begun = performance.now();
  const say = (body: PullEventBody): void => {
    tell({ reference, at: Math.round(performance.now() - begun), ...body });
  };
  const { digest, mediaType, size } = image.manifestDescriptor;
  say({ type: 'resolved', digest, mediaType, size });
  const layers = image.layers.map(({ descriptor, diffId }) => {
    return { digest: descriptor.digest, size: descriptor.size, diffId };
  });
  say({ type: 'image', digest, platform: image.platform, layers });
  for (const layer of layers) {
    const here = { digest: layer.digest, size: layer.size, bytes: layer.size } as const;
    say({ type: 'blob', role: 'layer', state: 'present', ...here });
  }
  return (event) => say(fromUnpackEvent(event));
}
