import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ARCHIVES, makeCorpus, type Corpus, type CorpusArchive } from '../../support/corpus/archives.js';
import { expectListed } from '../../support/corpus/listed.js';
import { differences, readTree, type Difference, type TreeInfo } from '../../support/corpus/read-tree.js';
import { OtherReaders, READERS, type ReaderName } from '../../support/corpus/readers.js';
import { Sandbox } from '../../support/extract-layer.js';
import { needsPeer } from '../../support/peers.js';
import { DISAGREEMENTS } from './disagreements.js';

const reason = needsPeer('bsdtar', 'getfattr', 'umoci');

/**
 * One rich tree, packed in every way; landfall makes of each archive what GNU tar, bsdtar and umoci make of
 * it.
 */
describe.skipIf(reason !== undefined)('archives of other programs', () => {
  let root = '';
  let corpus: Corpus;
  let readers: OtherReaders;
  const made = new Map<string, TreeInfo>();
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'landfall-corpus-'));
    corpus = makeCorpus(root);
    readers = new OtherReaders(root);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  function archiveOf(name: string): CorpusArchive {
    const archive = corpus.archives.find((candidate) => candidate.name === name);
    if (archive === undefined) throw new Error(`there is no archive ${name}`);
    return archive;
  }

  /** What landfall makes of an archive, without a warning. */
  function ours(name: string): TreeInfo {
    const known = made.get(name);
    if (known !== undefined) return known;
    const sandbox = new Sandbox();
    try {
      expect(sandbox.extract(archiveOf(name).bytes).warnings).toEqual([]);
      const tree = readTree(sandbox.layer);
      made.set(name, tree);
      return tree;
    } finally {
      sandbox.remove();
    }
  }

  function compare(reader: ReaderName, name: string): Difference[] {
    const { status, directory } = readers.read(reader, archiveOf(name).file);
    const failed = status === 0 ? [] : [{ path: '', fact: 'status', ours: '0', theirs: String(status) }];
    // umoci leaves nothing when it fails.
    return reader === 'umoci' && status !== 0
      ? failed
      : [...failed, ...differences(ours(name), readTree(directory))];
  }

  for (const reader of READERS) {
    it.each(ARCHIVES)(`are to ${reader} what they are to landfall, but for what is listed: %s`, (name) => {
      expectListed(name, compare(reader, name), DISAGREEMENTS[reader]);
    });
  }

  it.each(ARCHIVES.filter((name) => /^GNU tar, pax, (sparse|incremental)/.test(name)))(
    'come out as the tree that went in: %s',
    (name) => {
      const found = differences(ours(name), readTree(corpus.source));
      // GNU tar escapes these names (see the disagreements), and archives the links of a fifo as so many
      // fifos.
      const changed = /^xattr user\.(a=b|a%3Db|100%25|100%2525)$/;
      expect(
        found.filter(({ path, fact }) => !changed.test(fact) && !/^links\/fifo[12]$/.test(path)),
      ).toEqual([]);
    },
  );
});
