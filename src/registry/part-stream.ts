import { Readable } from 'node:stream';

import type { PartBody } from './blob-body.js';

/** A body as a stream, for who wants one. Destroying it destroys the body. */
export class PartStream extends Readable {
  readonly #body: PartBody;
  #asking = false;
  /** What ended the body, while bytes from before are still to be read. */
  #held: unknown;

  constructor(body: PartBody) {
    super();
    this.#body = body;
  }

  override _read(): void {
    // Each chunk that is pushed may be followed by a call of this, the next of the same batch too.
    if (this.#asking) return;
    this.#asking = true;
    this.#body.next().then(
      (batch) => {
        this.#asking = false;
        if (batch === undefined) this.push(null);
        else for (const chunk of batch) this.push(chunk);
      },
      (error: unknown) => {
        if (this.readableLength === 0) this.#end(error);
        else this.#held = error;
      },
    );
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    if (this.#held !== undefined && this.readableLength === 0) this.#end(this.#held);
    return chunk;
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#body.destroy();
    callback(error);
  }

  #end(error: unknown): void {
    this.destroy(error instanceof Error ? error : new Error('the body ended early', { cause: error }));
  }
}
