import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { unpackTree, WorkerPool } from '../../../src/unpack/index.js';
import { ATTRIBUTE_CASES } from '../../suites/layer-cases/attributes.js';
import { LINK_CASES } from '../../suites/layer-cases/links.js';
import { PATH_CASES } from '../../suites/layer-cases/paths.js';
import { TYPE_CASES } from '../../suites/layer-cases/types.js';
import { WHITEOUT_CASES } from '../../suites/layer-cases/whiteouts.js';
import { exported } from '../../support/exported.js';
import { runModel } from '../../support/layer-model.js';
import { archiveOf, layerSequence, parentOf } from '../../support/layer-operations.js';
import { rounds } from '../../support/rounds.js';
import { oldSparse, sparse00, sparse01, sparse10 } from '../../support/sparse-builder.js';
import { archive, directory, file, hardLink, symlink } from '../../support/tar-builder.js';
import { TreeLister, type TreeListing } from '../../support/tree-lister.js';
import { layerInput, removeTree } from '../../support/unpack-fixture.js';

/**
 * As root, with everything that the archive says; and with the order in which GNU tar sets times of
 * directories by default.
 */
const EXTRACT = ['-xp', '--same-permissions', '--numeric-owner', '--xattrs', '--xattrs-include=*'];

let pool: WorkerPool;
let lister: TreeLister;
let root: string;
const since = Math.floor(Date.now() / 1000) - 1;

beforeAll(() => {
  pool = new WorkerPool({ size: 2 });
  lister = new TreeLister();
});
afterAll(async () => {
  await lister[Symbol.asyncDispose]();
  await pool.close();
});
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-gnu-tar-'));
});
afterEach(() => removeTree(root));

/** What GNU tar makes of the archive that the layers are exported as. */
async function extracted(layers: readonly Buffer[], at = join(root, 'extracted')): Promise<TreeListing> {
  await mkdir(at);
  const stdio = ['pipe', 'ignore', 'ignore'] as const;
  execFileSync('tar', [...EXTRACT, '-C', at], { input: await exported(layers), stdio: [...stdio] });
  return lister.directory(at);
}

async function unpacked(layers: readonly Buffer[], at = join(root, 'unpacked')): Promise<TreeListing> {
  await unpackTree(await Promise.all(layers.map((tar) => layerInput(root, tar))), at, { pool });
  return lister.directory(at);
}

/**
 * Without what depends on the file system, or on when it was unpacked. GNU tar makes the further names of a
 * symlink that leads out of where it extracts when it is done with all directories, and does not care for the
 * times of these.
 */
function comparable(listing: TreeListing): Record<string, unknown> {
  const linked = Object.keys(listing).filter((path) => {
    const { type, nlink = 0 } = listing[path] ?? {};
    return type === 'symlink' && nlink > 1;
  });
  const timeless = new Set(linked.map((path) => parentOf(path)));
  return Object.fromEntries(
    Object.entries(listing).map(([path, { nlink, mtime, ...entry }]) => [
      path,
      {
        ...entry,
        mtime: mtime >= since || timeless.has(path) ? 0 : mtime,
        nlink: entry.type === 'directory' ? 0 : nlink,
      },
    ]),
  );
}

async function expectSame(layers: readonly Buffer[]): Promise<void> {
  expect(comparable(await extracted(layers))).toEqual(comparable(await unpacked(layers)));
}

const CASES = [...TYPE_CASES, ...ATTRIBUTE_CASES, ...WHITEOUT_CASES, ...LINK_CASES, ...PATH_CASES];

describe('GNU tar extracts what unpacking makes', () => {
  test.each(CASES.filter(({ code }) => code === undefined))('$name', async ({ layers }) => {
    await expectSame(layers.map((parts) => archive(...parts)));
  });

  test.each<[name: string, layers: Buffer[]]>([
    [
      'of names and targets of any length, with and without UTF-8',
      [
        archive(
          ...[100, 101, 150, 255].flatMap((length) => [
            file('n'.repeat(length), `${length}`),
            symlink('s'.repeat(length), 't'.repeat(length)),
            hardLink('h'.repeat(length), 'n'.repeat(length)),
            file(`${'d'.repeat(length)}/${'f'.repeat(length)}`, 'x'),
            file('\xff'.repeat(length - 1), 'x'),
          ]),
        ),
      ],
    ],
    [
      'of owners and times of any size',
      [
        archive(
          file('owner', '', { uid: 0o10000000, gid: 2 ** 31 }),
          ...['5.5', '0.000000001', '-5', '-5.25', '4294967296.75'].map((mtime) =>
            file(mtime, '', { pax: { mtime } }),
          ),
        ),
      ],
    ],
    [
      'of attributes with an equals sign and a percent sign in their names',
      [archive(file('a', '', { pax: { 'LIBARCHIVE.xattr.user.a%3Db%253D%25': 'eA==' } }))],
    ],
    [
      'of directories that several layers put something into, in turns',
      [
        archive(
          directory('a', { mtime: 1 }),
          directory('a/b', { mtime: 2 }),
          file('a/b/1'),
          directory('c', { mtime: 3 }),
          file('c/1'),
          file('a/2'),
        ),
        archive(file('a.txt'), file('c/2'), file('a/b/2'), directory('.', { mtime: 4 })),
        archive(directory('a/d', { mtime: 5 }), file('c/.wh.1'), hardLink('a/d/l', 'c/2')),
      ],
    ],
  ])('%s', async (_, layers) => {
    await expectSame(layers);
  });

  test.each<[format: string, tar: Buffer]>([
    ['old', oldSparse([[1000, 3], [5000, 2]], 2 ** 30, 'abcde')], // prettier-ignore
    ['0.0', sparse00([[0, 3], [9, 2]], 11, 'abcde')], // prettier-ignore
    ['0.1', sparse01('1000,3,5000,2', 2 ** 30, 'abcde')],
    ['1.0', sparse10('2\n1000\n3\n5000\n2\n', 2 ** 30, 'abcde')],
    ['1.0, a single hole', sparse10('0\n', 2 ** 30, '')],
  ])('of sparse files, which stay sparse: %s', async (_, tar) => {
    const [one, other] = [join(root, 'extracted'), join(root, 'unpacked')];
    const sparse = [archive(tar, hardLink('l', 'a'))];
    await mkdir(one);
    execFileSync('tar', [...EXTRACT, '-C', one], { input: await exported(sparse) });
    await unpackTree([await layerInput(root, sparse[0] ?? Buffer.alloc(0))], other, { pool });
    execFileSync('cmp', [join(one, 'a'), join(other, 'a')]);
    const { blocks, nlink } = await stat(join(one, 'a'));
    expect(blocks).toBeLessThan(100);
    expect(nlink).toBe(2);
  });

  test('of random layers', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(layerSequence(), async (sequence) => {
        const layers = runModel(sequence).layers.map((operations, i) => archiveOf(operations, i));
        run += 1;
        const [one, other] = [join(root, `extracted-${run}`), join(root, `unpacked-${run}`)];
        expect(comparable(await extracted(layers, one))).toEqual(comparable(await unpacked(layers, other)));
      }),
      { numRuns: rounds({ short: 60, long: 1000 }) },
    );
  });
});
