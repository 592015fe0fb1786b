import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ARCHIVES, makeCorpus, type CorpusArchive } from '../../support/corpus/archives.js';
import { expectListed, type Differing } from '../../support/corpus/listed.js';
import { entriesOf, tarStreamEntries, type EntryInfo } from '../../support/corpus/read-entries.js';
import { needsPeer } from '../../support/peers.js';
import { removeTree } from '../../support/unpack-fixture.js';
import { TAR_STREAM_FAULTS } from './tar-stream-faults.js';

describe.skipIf(needsPeer('bsdtar', 'python3') !== undefined)(
  'the entries of archives of other programs',
  () => {
    let root = '';
    let archives: readonly CorpusArchive[] = [];
    beforeAll(() => {
      root = mkdtempSync(join(tmpdir(), 'landfall-reading-'));
      archives = makeCorpus(root).archives;
    });
    afterAll(() => removeTree(root));

    function bytesOf(name: string): Buffer {
      const archive = archives.find((candidate) => candidate.name === name);
      if (archive === undefined) throw new Error(`there is no archive ${name}`);
      return archive.bytes;
    }

    it.each(ARCHIVES)('are the same however the archive is cut into chunks: %s', (name) => {
      const bytes = bytesOf(name);
      const whole = entriesOf(bytes, bytes.length);
      expect(whole.length).toBeGreaterThan(20);
      for (const chunkBytes of [1, 511, 512, 513, 65_536]) {
        expect(entriesOf(bytes, chunkBytes), `chunks of ${chunkBytes} bytes`).toEqual(whole);
      }
    });

    it.each(ARCHIVES)('are what tar-stream reads, but for its faults: %s', async (name) => {
      const bytes = bytesOf(name);
      const theirs = await tarStreamEntries(bytes);
      expectListed(name, differing(entriesOf(bytes, bytes.length), theirs), TAR_STREAM_FAULTS);
    });
  },
);

/** Entry by entry; one difference where the other gave up. */
function differing(ours: readonly EntryInfo[], theirs: readonly EntryInfo[] | string): Differing[] {
  if (typeof theirs === 'string') return [{ path: theirs, fact: 'error' }];
  expect(theirs.length).toBe(ours.length);
  return ours.flatMap((mine, i) => {
    const other = theirs[i] ?? {};
    const info = new Set([...Object.keys(mine), ...Object.keys(other)]);
    const path = mine['path'] ?? '';
    return [...info]
      .filter((fact) => mine[fact] !== other[fact])
      .map((fact) => ({ path, fact, ours: mine[fact], theirs: other[fact] }));
  });
}
