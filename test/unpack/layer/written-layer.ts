import type { LayerChanges } from '../../../src/unpack/terms/layer-changes.js';

/** A layer by itself, and what a writer makes of it. */
export interface WrittenLayer {
  readonly name: string;
  readonly parts: readonly Buffer[];
  readonly tree: Readonly<Record<string, string>>;
  /** The rest is empty, but for the root: it is implied unless the row says otherwise. */
  readonly changes?: Partial<LayerChanges>;
}

/** Hides all that lower layers have in its directory. */
export const OPQ = '.wh..wh..opq';
