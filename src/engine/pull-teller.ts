import type { FetchedImage } from './fetch-graph.js';
import type { PullEvent, PullEventBody } from './pull-event.js';

export interface PullTellerOptions {
  /** The name that is pulled, canonical. */
  readonly reference: string;
  /** When the pull began, by `performance.now()`. */
  readonly start: number;
  readonly onEvent: ((event: PullEvent) => void) | undefined;
}

/** Tells what a pull does. Layers may move before it is known whose they are; the image is told before them all the same. */
export class PullTeller {
  readonly #options: PullTellerOptions;
  /** What there is to tell of layers, until the image was told. */
  #untold: PullEventBody[] | undefined = [];

  constructor(options: PullTellerOptions) {
    this.#options = options;
  }

  tell(body: PullEventBody): void {
    const { reference, start, onEvent } = this.#options;
    onEvent?.({ reference, at: Math.round(performance.now() - start), ...body });
  }

  tellBlob(body: PullEventBody): void {
    const isLayer = body.type === 'blob' && body.role === 'layer';
    if (isLayer && this.#untold !== undefined) this.#untold.push(body);
    else this.tell(body);
  }

  tellImage(image: FetchedImage): void {
    const { digest } = image.manifestDescriptor;
    const layers = image.layers.map(({ descriptor, diffId }) => ({
      digest: descriptor.digest,
      size: descriptor.size,
      diffId,
    }));
    this.tell({ type: 'image', digest, platform: image.platform, layers });
    const untold = this.#untold ?? [];
    this.#untold = undefined;
    for (const body of untold) this.tell(body);
  }
}
