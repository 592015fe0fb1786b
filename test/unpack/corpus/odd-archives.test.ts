import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ODD_ENDS, ODD_HEADERS } from '../../support/corpus/odd-headers.js';
import type { OddArchive } from '../../support/corpus/odd-archive.js';
import { ODD_PAX_HEADERS } from '../../support/corpus/odd-pax-headers.js';
import { ODD_SPARSE_FILES } from '../../support/corpus/odd-sparse-files.js';
import { differences, readTree, type TreeInfo } from '../../support/corpus/read-tree.js';
import { OtherReaders, READERS, type ReaderName } from '../../support/corpus/readers.js';
import { Sandbox } from '../../support/extract-layer.js';
import { needsPeer } from '../../support/peers.js';

const reason = needsPeer('bsdtar', 'getfattr', 'umoci');

/**
 * What landfall, GNU tar, bsdtar and umoci make of archives that no ordinary program writes. Each row says
 * which of them differ, and why landfall does not do as these; it fails as soon as one of them does
 * otherwise.
 */
describe.skipIf(reason !== undefined)('archives that are odd', () => {
  let root = '';
  let file = '';
  let readers: OtherReaders;
  let sandbox: Sandbox;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'landfall-odd-'));
    file = join(root, 'archive.tar');
    readers = new OtherReaders(root);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  beforeEach(() => (sandbox = new Sandbox()));
  afterEach(() => sandbox.remove());

  /** The tree that landfall makes, or the code of its error. */
  function ours(bytes: Buffer): TreeInfo | string {
    try {
      sandbox.extract(bytes);
      return readTree(sandbox.layer);
    } catch (error) {
      return (error as { code: string }).code;
    }
  }

  function verdict(reader: ReaderName, made: TreeInfo | string): string {
    const { status, directory } = readers.read(reader, file);
    const refused = typeof made === 'string';
    if (status !== 0) return refused ? 'as landfall' : 'refuses';
    if (refused) return 'reads';
    const found = differences(made, readTree(directory)).filter(
      ({ path, fact }) => fact === 'path' || isListed(made, path),
    );
    return found.length === 0 ? 'as landfall' : 'reads otherwise';
  }

  const groups: readonly [string, readonly OddArchive[]][] = [
    ['ends', ODD_ENDS],
    ['headers', ODD_HEADERS],
    ['pax headers', ODD_PAX_HEADERS],
    ['sparse files', ODD_SPARSE_FILES],
  ];
  for (const [group, archives] of groups) {
    it.each(archives)(`${group}: $name`, ({ bytes, refusal, unlike = {} }) => {
      writeFileSync(file, bytes);
      const made = ours(bytes);
      expect(typeof made === 'string' ? made : undefined).toBe(refusal);
      const verdicts = Object.fromEntries(READERS.map((reader) => [reader, verdict(reader, made)]));
      const expected = Object.fromEntries(READERS.map((reader) => [reader, unlike[reader] ?? 'as landfall']));
      expect(verdicts).toEqual(expected);
    });
  }

  it('gives a reason for each disagreement, and none for anything else', () => {
    for (const { name, unlike, because } of groups.flatMap(([, archives]) => archives)) {
      expect(because === undefined, name).toBe(unlike === undefined);
    }
  });
});

/**
 * Directories that the archive does not list, the root among them, have the time and mode of whoever
 * unpacked.
 */
function isListed(made: TreeInfo, path: string): boolean {
  const info = made.get(path);
  return info?.['type'] !== 'd' || info['mtime'] === '1000000000.0000000000';
}
