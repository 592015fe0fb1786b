import { chainIds, type Digest } from '../spec/index.js';
import type { Decompressor } from './compression/decompress.js';
import type { OmittedDevice } from './worker/apply-job.js';
import type { LayerInput, LayerState, UnpackOptions } from './layer-input.js';

type ToldLayer = Pick<LayerInput, 'descriptor' | 'diffId'>;

/** Tells what happens to the layers of one image. */
export class LayerEvents {
  readonly #layers: readonly ToldLayer[];
  readonly #chainIds: readonly Digest[];
  readonly #onEvent: UnpackOptions['onEvent'];

  constructor(layers: readonly ToldLayer[], onEvent: UnpackOptions['onEvent']) {
    this.#layers = layers;
    this.#chainIds = chainIds(layers.map(({ diffId }) => diffId));
    this.#onEvent = onEvent;
  }

  /** @param bytes - of the blob that were read so far */
  tell(index: number, state: LayerState, bytes: number, decompressor?: Decompressor): void {
    const layer = this.#layers[index];
    const chainId = this.#chainIds[index];
    if (layer === undefined || chainId === undefined) return;
    const { descriptor, diffId } = layer;
    const at = performance.now();
    const by = decompressor === undefined ? {} : { decompressor };
    this.#onEvent?.({ type: 'layer', digest: descriptor.digest, diffId, chainId, state, bytes, ...by, at });
  }

  warn({ descriptor }: ToldLayer, messages: readonly string[]): void {
    for (const message of messages) this.#onEvent?.({ type: 'warning', digest: descriptor.digest, message });
  }

  omitted({ descriptor }: ToldLayer, devices: readonly OmittedDevice[]): void {
    if (devices.length > 0) this.#onEvent?.({ type: 'omitted', digest: descriptor.digest, devices });
  }
}
