import type { Store } from '../engine/store.js';
import { type Abortable, LandfallError } from '../errors.js';
import { openRegistry, type RegistryClient } from '../registry/index.js';
import { quoted } from '../spec/index.js';
import { ImageTransports } from '../transfer/transports/image-transports.js';

export interface LibraryTransportsOptions extends Abortable {
  /** For names without a transport. Closed by its owner. */
  readonly store?: Store | undefined;
  /** For images that are read, and written; by default one that is opened for this operation alone. */
  readonly registry?: RegistryClient | undefined;
  readonly destinationRegistry?: RegistryClient | undefined;
}

/** Opens what a program copies images between, with the store and the clients that it gives. */
export class LibraryTransports extends ImageTransports {
  readonly #options: LibraryTransportsOptions;
  #registry: RegistryClient | undefined;

  constructor(options: LibraryTransportsOptions) {
    super({ signal: options.signal });
    this.#options = options;
    this.#registry = options.registry;
  }

  override store(text: string): Promise<Store> {
    const { store } = this.#options;
    if (store !== undefined) return Promise.resolve(store);
    const error = new LandfallError('INVALID_CONFIG', `${quoted(text)} is in a store, and none was given`, {
      hint: 'Give an open store, or write docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF] or dir:DIR.',
    });
    return Promise.reject(error);
  }

  protected override client(_host: string, side: 'source' | 'destination'): Promise<RegistryClient> {
    const own = side === 'destination' ? this.#options.destinationRegistry : undefined;
    return own === undefined ? this.layerClient() : Promise.resolve(own);
  }

  protected override layerClient(): Promise<RegistryClient> {
    return Promise.resolve((this.#registry ??= this.keep(openRegistry())));
  }
}
