import type { FetchedImage } from './fetch-graph.js';
import type { PullEvent, PullEventBody } from './pull-event.js';

type BlobBody = Extract<PullEventBody, { type: 'blob' }>;

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
  /** What there is to tell of layers and since when, until the image was told. */
  #untold: { readonly body: BlobBody; readonly since: number }[] | undefined = [];

  constructor(options: PullTellerOptions) {
    this.#options = options;
  }

  tell(body: PullEventBody): void {
    const { reference, start, onEvent } = this.#options;
    onEvent?.({ reference, at: inMicroseconds(performance.now() - start), ...body });
  }

  tellBlob(body: PullEventBody): void {
    if (this.#untold !== undefined && body.type === 'blob' && body.role === 'layer')
      this.#untold.push({ body, since: performance.now() });
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
    for (const { body, since } of untold)
      this.tell({ ...body, heldMs: inMicroseconds(performance.now() - since) });
  }
}

/** Milliseconds with no more digits than a clock has. */
function inMicroseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
