import type { FuzzTarget } from '../fuzz-target.js';
import { accountsTarget } from './accounts.js';
import { bombsTarget, inflationTarget } from './bombs.js';
import { decompressTarget } from './decompress.js';
import { exportTarget } from './export.js';
import { createExtractTarget } from './extract.js';
import { imageArchiveTarget } from './image-archive.js';
import { createImageTarget } from './image.js';
import { paxTarget } from './pax.js';
import { readTarget } from './read.js';
import { signaturesTarget } from './signatures.js';
import { stackTarget } from './stack.js';

/** All targets, ready to be run; whoever asked for them closes them. */
export class FuzzTargets implements AsyncDisposable {
  readonly list: readonly FuzzTarget[];
  readonly #image = createImageTarget();

  constructor() {
    this.list = [
      readTarget,
      paxTarget,
      decompressTarget,
      createExtractTarget(),
      stackTarget,
      exportTarget,
      accountsTarget,
      imageArchiveTarget,
      this.#image,
      bombsTarget,
      inflationTarget,
      signaturesTarget,
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#image[Symbol.asyncDispose]();
  }
}
