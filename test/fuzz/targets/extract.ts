import { chunkingFor } from '../chunking.js';
import { type Extract, type ExtractionWay, extractLayer, PLAINLY, RESOLVERS } from '../extract-layer.js';
import type { FuzzTarget } from '../fuzz-target.js';
import { randomArchive } from '../random-input.js';
import { treeState } from '../tree-state.js';
import { checkPrintable, checkSame, outcomeOfSync } from '../violation.js';

/**
 * One layer becomes a directory, twice: by another resolver, from other chunks. Both have to end in the same
 * way, with the same tree; and nothing outside may change, which is looked at after every input of every
 * target.
 *
 * @param extract - what is tested; another one in the tests of this program
 */
export function createExtractTarget(extract: Extract = extractLayer): FuzzTarget {
  return {
    name: 'extract',
    weight: 18,
    generate: (random, seeds) => ({ layers: [randomArchive(random, seeds)] }),
    check: ({ layers: [archive = Buffer.alloc(0)] }, { sandbox, random }) => {
      const other: ExtractionWay = {
        resolver: random.pick(RESOLVERS),
        chunking: chunkingFor(random, archive.length),
      };
      const [first, second] = [sandbox.bed('first'), sandbox.bed('second')];
      const expected = outcomeOfSync(() => extract(archive, first, PLAINLY, random));
      sandbox.check();
      const actual = outcomeOfSync(() => extract(archive, second, other, random));
      const what = `by ${other.resolver.method} in chunks of ${other.chunking}`;
      checkSame(what, expected, actual);
      if (!('done' in expected)) return;
      checkPrintable(...expected.done.warnings);
      checkSame(what, treeState(first), treeState(second));
    },
  };
}
