import { type Digest, digestOf } from './digest.js';

/**
 * The chainId of each layer, bottom first (image-spec: config.md, Layer ChainID): the first is the diffId itself, every
 * next one the sha256 of the chainId below, a space, and the layer's diffId.
 */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  let below: Digest | undefined;
  for (const diffId of diffIds) {
    below = below === undefined ? diffId : digestOf(Buffer.from(`${below} ${diffId}`, 'latin1'));
    chain.push(below);
  }
  return chain;
}
