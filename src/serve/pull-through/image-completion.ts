import { isLandfallError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import type { BlobFlows } from './blob-flows.js';
import type { PendingImage, PendingImages } from './pending-images.js';

export interface ImageCompletionOptions {
  readonly pending: PendingImages;
  readonly join: BlobFlows['join'];
  /** Aborted when the mirror stops. */
  readonly signal: AbortSignal;
  readonly onWarning: (text: string) => void;
}

/** Brings the rest of an image: once a layer is here whole, its image is being pulled by somebody, and the mirror is to have all of it. */
export class ImageCompletion {
  readonly #options: ImageCompletionOptions;
  /** The manifests whose further blobs are being brought. */
  readonly #completing = new Set<Digest>();
  /** What goes on beside the answers. */
  readonly #aside = new Set<Promise<void>>();

  constructor(options: ImageCompletionOptions) {
    this.#options = options;
  }

  /** Tells of a blob that is here whole. */
  arrived(digest: Digest): void {
    this.#doAside(async () => {
      const { pending } = this.#options;
      await pending.arrived(digest);
      for (const image of pending.waitingFor(digest)) {
        if (image.manifest.config.digest !== digest) this.#doAside(() => this.#complete(image));
      }
    });
  }

  /** Waits until nothing goes on any more. */
  async settle(): Promise<void> {
    while (this.#aside.size > 0) await Promise.allSettled([...this.#aside]);
  }

  async #complete({ descriptor, manifest, repository }: PendingImage): Promise<void> {
    const { pending, join, signal } = this.#options;
    if (signal.aborted || this.#completing.has(descriptor.digest)) return;
    this.#completing.add(descriptor.digest);
    try {
      const missing = await pending.missing(manifest);
      await Promise.all(
        missing.map(async (child) => {
          const flow = join(child, repository);
          const leave = flow.want();
          await flow.done.finally(leave);
        }),
      );
    } finally {
      this.#completing.delete(descriptor.digest);
    }
  }

  /** Does something that no answer waits for. That it fails is told, and made up for by the next who asks. */
  #doAside(action: () => Promise<void>): void {
    const { signal, onWarning } = this.#options;
    const doing = action()
      .catch((error: unknown) => {
        if (signal.aborted) return;
        onWarning(
          `an image could not be completed: ${isLandfallError(error) ? error.message : String(error)}`,
        );
      })
      .finally(() => this.#aside.delete(doing));
    this.#aside.add(doing);
  }
}
