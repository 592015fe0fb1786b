import { RegistryClient, type Resolver } from '../../src/registry/index.js';
import { type Descriptor, formatReference } from '../../src/spec/index.js';

type Work = (signal?: AbortSignal) => Promise<unknown>;

/** A client that resolves each reference to one image, once the work for the reference is done. */
export class GatedClient extends RegistryClient {
  /** By canonical reference. */
  readonly works: Map<string, Work> = new Map<string, Work>();
  readonly #target: Descriptor;

  constructor(target: Descriptor) {
    super({ plainHttp: true });
    this.#target = target;
  }

  override resolver(): Resolver {
    return {
      resolve: async (reference, { signal } = {}) => {
        await this.works.get(formatReference(reference))?.(signal);
        return this.#target;
      },
    };
  }
}
