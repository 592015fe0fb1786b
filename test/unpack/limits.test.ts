import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS, type UnpackLimit } from '../../src/spec/index.js';
import { Unpacker, unpackTree } from '../../src/unpack/index.js';
import { exported } from '../support/exported.js';
import { archive, directory, file, symlink } from '../support/tar-builder.js';
import { createSnapshots, removeTree, type SnapshotFixture } from '../support/unpack-fixture.js';

let fixture: SnapshotFixture;
beforeAll(async () => {
  fixture = await createSnapshots('native');
});
afterAll(() => fixture[Symbol.asyncDispose]());

/** Layers, and the least value of the limit under which they are taken. */
interface Row {
  readonly limit: UnpackLimit;
  readonly name: string;
  readonly layers: readonly Buffer[];
  readonly least: number;
}

const ALL_UNPACKED = ['unpacked', 'unpacked', 'unpacked'];
const ALL_REFUSED = ['LIMIT_EXCEEDED', 'LIMIT_EXCEEDED', 'LIMIT_EXCEEDED'];

const SMALL = archive(file('a', 'x'));
const BIG = archive(file('b', Buffer.alloc(100_000, 1)));

const ROWS: readonly Row[] = [
  { limit: 'entriesPerLayer', name: 'two entries', layers: [archive(file('a'), file('b'))], least: 2 },
  {
    limit: 'entriesPerLayer',
    name: 'a path through thirty symlinks, five for each entry',
    layers: [archive(symlink('s', '.'), file(`${'s/'.repeat(30)}f`))],
    least: 6,
  },
  { limit: 'layerBytes', name: 'a layer', layers: [SMALL], least: SMALL.length },
  { limit: 'layerBytes', name: 'the larger of two layers', layers: [BIG, SMALL], least: BIG.length },
  {
    limit: 'imageBytes',
    name: 'two layers together',
    layers: [SMALL, BIG],
    least: SMALL.length + BIG.length,
  },
  { limit: 'pathBytes', name: 'a path', layers: [archive(file('abc/defg'))], least: 8 },
  { limit: 'pathDepth', name: 'a path', layers: [archive(directory('a/b/c/d/'))], least: 4 },
  { limit: 'linkBytes', name: 'a symlink', layers: [archive(symlink('l', 'x'.repeat(50)))], least: 51 },
  {
    limit: 'paxBytes',
    name: 'a pax header',
    layers: [archive(file('a', '', { pax: { comment: 'x'.repeat(100) } }))],
    least: '113 comment='.length + 100 + '\n'.length,
  },
  {
    limit: 'xattrBytes',
    name: 'an extended attribute',
    layers: [archive(file('a', '', { xattrs: { 'user.a': 'x'.repeat(20) } }))],
    least: 20,
  },
];

describe('a limit that is set', () => {
  test.each(ROWS)('$limit takes $name at it', async ({ limit, layers, least }) => {
    await expect(outcomes(layers, limit, least)).resolves.toEqual(ALL_UNPACKED);
  });

  test.each(ROWS)('$limit refuses $name beyond it', async ({ limit, layers, least }) => {
    await expect(outcomes(layers, limit, least - 1)).resolves.toEqual(ALL_REFUSED);
  });

  test('compressionRatio counts beyond a gibibyte only', async () => {
    await expect(outcomes([BIG], 'compressionRatio', 1)).resolves.toEqual(ALL_UNPACKED);
  });

  test('that is far above the default is obeyed too', async () => {
    const deep = Array.from({ length: LIMITS.pathDepth + 1 }, () => 'a').join('/');
    const layers = [archive(directory(deep))];
    await expect(outcomes(layers, 'pathDepth', LIMITS.pathDepth)).resolves.toContain('LIMIT_EXCEEDED');
    await expect(outcomes(layers, 'pathDepth', LIMITS.pathDepth + 1)).resolves.not.toContain(
      'LIMIT_EXCEEDED',
    );
  });
});

/**
 * What snapshots, a merged directory and an archive each make of the layers: `unpacked`, or the error's code.
 */
async function outcomes(layers: readonly Buffer[], limit: UnpackLimit, value: number): Promise<string[]> {
  const limits = { [limit]: value };
  const { pool, snapshotter } = fixture;
  const unpacker = new Unpacker({ snapshotter, pool, limits });
  const inputs = await Promise.all(layers.map((layer) => fixture.layer(layer)));
  const snapshots = outcome(async () => {
    const unpacked = await unpacker.unpack(inputs);
    for (const { chainId } of [...unpacked].reverse()) await snapshotter.remove(chainId);
  });
  const directory = await mkdtemp(join(tmpdir(), 'landfall-limits-'));
  try {
    return [
      await snapshots,
      await outcome(() => unpackTree(inputs, directory, { pool, limits })),
      await outcome(() => exported(layers, { limits })),
    ];
  } finally {
    for await (const { name } of snapshotter.list()) await snapshotter.remove(name);
    await removeTree(directory);
  }
}

async function outcome(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'unpacked';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
