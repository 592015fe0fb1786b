import { completeLayer } from '../../src/unpack/merge/complete-layer.js';
import { mergeLayer } from '../../src/unpack/merge/merge-layer.js';
import { extractLayer, PLAINLY } from './extract-layer.js';
import type { FuzzBench } from './fuzz-target.js';
import type { Bed } from './sandbox.js';
import { checkPrintable, type Outcome, outcomeOf } from './violation.js';

const LAYER_BEDS: readonly [Bed, Bed, Bed] = ['first', 'second', 'third'];
const FORM = process.geteuid?.() === 0 ? 'overlay' : 'userxattr';

/** Layers in beds of their own as an overlay snapshotter leaves them, topmost first. */
export function overlayOf(
  layers: readonly Buffer[],
  { sandbox, random }: FuzzBench,
): Promise<Outcome<{ lower: string[] }>> {
  return outcomeOf(async () => {
    let lower: string[] = [];
    for (const [i, bed] of LAYER_BEDS.entries()) {
      const archive = layers[i];
      if (archive === undefined) break;
      const directory = sandbox.bed(bed);
      const { changes } = extractLayer(archive, directory, PLAINLY, random);
      const job = { kind: 'complete', directory, form: FORM, parents: lower, changes } as const;
      checkPrintable(...(await completeLayer(job)).warnings);
      sandbox.check();
      // The kernel merges the roots of all layers, whatever they say.
      lower = changes.opaques.includes('') ? [directory] : [directory, ...lower];
    }
    return { lower };
  });
}

/** Layers in one directory, which it returns, as `landfall unpack` merges them. */
export function mergedOf(
  layers: readonly Buffer[],
  { sandbox, random }: FuzzBench,
): Promise<Outcome<string>> {
  const target = sandbox.bed('merged');
  return outcomeOf(async () => {
    for (const archive of layers) {
      const directory = sandbox.bed('fourth');
      const { changes } = extractLayer(archive, directory, PLAINLY, random);
      checkPrintable(...(await mergeLayer({ kind: 'merge', directory, target, changes })).warnings);
      sandbox.check();
    }
    return target;
  });
}

/** How it ended, without the words: each way meets the trouble at another place. */
export function endOf(outcome: Outcome<unknown>): string {
  return 'done' in outcome ? 'done' : outcome.refused;
}
