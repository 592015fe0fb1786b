import { partsOf } from './archive-parts.js';
import type { FuzzInput } from './fuzz-target.js';

/** So many attempts at most are made to find a smaller input. */
const MOST_ATTEMPTS = 400;

/**
 * A smaller input that still has the same fault: layers, entries and stretches of bytes are left out as long
 * as it does.
 *
 * @param isFaulty - whether an input has the fault
 */
export async function shrink(
  input: FuzzInput,
  isFaulty: (smaller: FuzzInput) => Promise<boolean>,
): Promise<FuzzInput> {
  // What has to become of the whole is not what has to become of a part.
  if (input.expected !== undefined) return input;
  let layers = input.layers;
  let attempts = 0;
  for (let found = true; found;) {
    found = false;
    for (const smaller of smallerThan(layers)) {
      if (++attempts > MOST_ATTEMPTS) return { layers };
      if (!(await isFaulty({ layers: smaller }))) continue;
      layers = smaller;
      found = true;
      break;
    }
  }
  return { layers };
}

function* smallerThan(layers: readonly Buffer[]): Generator<readonly Buffer[], void, undefined> {
  for (const [i, layer] of layers.entries()) {
    if (layers.length > 1) yield layers.toSpliced(i, 1);
    const parts = partsOf(layer);
    for (let length = parts.length >> 1; length >= 1; length >>= 1) {
      for (let at = 0; at < parts.length; at += length) {
        if (parts.length > length) yield layers.with(i, Buffer.concat(parts.toSpliced(at, length)));
      }
    }
  }
}
