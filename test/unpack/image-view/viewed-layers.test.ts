import { describe, expect, test } from 'vitest';
import { isLandfallError } from '../../../src/errors.js';
import { compareStacks, findPath, LayerReader, readFile, walkTree } from '../../../src/unpack/index.js';
import { ContentDigest } from '../../../src/unpack/files/content-digest.js';
import { collected } from '../../support/exported.js';
import { archive, directory, file, hardLink, symlink } from '../../support/tar-builder.js';
import { viewLayers, type ViewedLayers } from '../../support/viewed-tree.js';

const BASE = archive(
  directory('etc'),
  file('etc/hosts', 'base'),
  file('etc/only', 'below'),
  directory('usr'),
  directory('usr/bin'),
  file('usr/bin/dash', 'shell'),
  symlink('usr/bin/sh', 'dash'),
  symlink('bin', 'usr/bin'),
);
const MIDDLE = archive(file('etc/hosts', 'middle'), hardLink('etc/linked', 'etc/only'));
const TOP = archive(
  file('etc/hosts', 'top'),
  file('opt/.wh..wh..opq'),
  file('opt/new', 'n'),
  file('etc/.wh.gone'),
);

async function contentAt({ stack }: ViewedLayers, path: string): Promise<string> {
  const { node } = await findPath(stack.root, path);
  if (node.kind !== 'file') throw new Error(`${path} is a ${node.kind}`);
  return (await collected(readFile(node))).toString();
}

async function listOf({ stack }: ViewedLayers, path: string): Promise<string[]> {
  const { node } = await findPath(stack.root, path);
  if (node.kind !== 'directory') throw new Error(`${path} is a ${node.kind}`);
  const names: string[] = [];
  for await (const { name } of walkTree(node)) names.push(name);
  return names;
}

/** The numbers of layers, topmost first. */
describe('layers are read from the top, and only those that have to be', () => {
  test.each<[name: string, path: string, content: string, read: number[]]>([
    ['a file of the topmost layer', '/etc/hosts', 'top', [2]],
    ['a file that only the lowest one has', '/etc/only', 'below', [2, 1, 0]],
    ['a hard link to what a lower layer has', '/etc/linked', 'below', [2, 1, 0]],
    ['a file below a directory that hides the lower layers', '/opt/new', 'n', [2]],
    ['a file behind symlinks of the lowest layer', '/bin/sh', 'shell', [2, 1, 0]],
    ['a path that goes up again, as far as the root', '/etc/../../../etc/hosts', 'top', [2]],
  ])('for %s', async (_, path, content, read) => {
    const viewed = viewLayers([BASE, MIDDLE, TOP]);
    expect(await contentAt(viewed, path)).toBe(content);
    expect(viewed.opened).toEqual(read);
  });

  test.each<[name: string, path: string, names: string[], read: number[]]>([
    ['a directory that hides what is below it', '/opt', ['new'], [2]],
    ['a directory that all have', '/etc', ['hosts', 'linked', 'only'], [2, 1, 0]],
    ['a directory by a symlink', '/bin', ['dash', 'sh'], [2, 1, 0]],
    ['the root', '/', ['bin', 'etc', 'opt', 'usr'], [2, 1, 0]],
  ])('to list %s', async (_, path, names, read) => {
    const viewed = viewLayers([BASE, MIDDLE, TOP]);
    expect(await listOf(viewed, path)).toEqual(names);
    expect(viewed.opened).toEqual(read);
  });

  test('and none to find that two images are the same', async () => {
    const reader = new LayerReader({ layers: 4, contents: true });
    const [a, b] = [viewLayers([BASE, TOP], { reader }), viewLayers([BASE, TOP], { reader })];
    for await (const change of compareStacks(a.stack, b.stack)) throw new Error(change.path);
    expect([a.opened, b.opened]).toEqual([[], []]);
  });

  test('nor the common ones to compare what both have above them', async () => {
    const reader = new LayerReader({ layers: 4, contents: true });
    const other = archive(
      file('etc/hosts', 'TOP'),
      file('opt/.wh..wh..opq'),
      file('opt/new', 'n'),
      file('etc/.wh.gone'),
    );
    const [a, b] = [viewLayers([BASE, TOP], { reader }), viewLayers([BASE, other], { reader })];
    const changes: string[] = [];
    for await (const { kind, path } of compareStacks(a.stack, b.stack)) changes.push(`${kind} ${path}`);
    expect(changes).toEqual(['changed etc/hosts']);
    expect([a.opened, b.opened]).toEqual([[1], [1]]);
  });
});

describe('what is not there', () => {
  const links = archive(
    symlink('loop', 'loop'),
    symlink('a', 'b'),
    symlink('b', 'a'),
    symlink('out', '../../../etc/passwd'),
    directory('d'),
    file('d/f', 'x'),
    symlink('here', 'd'),
  );
  test.each<[path: string, why: RegExp, nearest: string]>([
    ['/d/nothing/at/all', /"\/d\/nothing" is not in the image/, '/d'],
    ['/d/f/x', /"\/d\/f" is not a directory/, '/d'],
    ['/d/f/', /"\/d\/f" is not a directory/, '/d'],
    ['/loop', /too many symbolic links/, '/'],
    ['/a/x', /too many symbolic links/, '/'],
    ['/out', /"\/etc" is not in the image/, '/'],
    ['/here/none', /"\/d\/none" is not in the image/, '/d'],
    [`/${'x/'.repeat(3000)}`, /longer than any path/, '/'],
  ])('%s', async (path, why, nearest) => {
    const { stack } = viewLayers([links]);
    const error: unknown = await findPath(stack.root, path).catch((thrown: unknown) => thrown);
    if (!isLandfallError(error)) throw error;
    expect(error.code).toBe('NOT_FOUND');
    expect(error.message).toMatch(why);
    expect(error.details['nearest']).toBe(nearest);
  });

  test('is told of a layer alone whose link leads below it', async () => {
    const { stack } = viewLayers([MIDDLE], { isPart: true });
    expect((await findPath(stack.root, '/etc/linked')).node).toEqual({ kind: 'link', target: 'etc/only' });
    const whole = viewLayers([MIDDLE]);
    await expect(findPath(whole.stack.root, '/etc/linked')).rejects.toThrow(
      /neither this layer nor one below/,
    );
  });
});

test('a layer that is not what it should be is found out before anything is told of it', async () => {
  const { stack } = viewLayers([BASE]);
  const [layer] = stack.layers;
  if (layer === undefined) throw new Error('no layer');
  const reader = new LayerReader({ layers: 1 });
  const wrong = { ...layer, diffId: layer.descriptor.digest };
  await expect(reader.read(wrong)).rejects.toMatchObject({ code: 'DIFF_ID_MISMATCH' });
});

test('what all layers together take in memory is bounded', async () => {
  const many = archive(...Array.from({ length: 50 }, (_, at) => file(`f${at}`, '')));
  const reader = new LayerReader({ layers: 1, limits: { indexBytes: 10_000 } });
  const { stack } = viewLayers([many], { reader });
  await expect(stack.root.names()).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
});

describe('the digest of a content', () => {
  const K64 = 64 * 1024;
  const zeros = (count: number): Buffer => Buffer.alloc(count);
  const text = Buffer.from('harbour');
  const whole = (content: Buffer, cut = content.length): string => {
    const digest = new ContentDigest(content.length);
    for (let at = 0; at < content.length; at += cut) digest.update(content.subarray(at, at + cut));
    return digest.digest();
  };
  const sparse = (size: number, parts: readonly (readonly [offset: number, bytes: Buffer])[]): string => {
    const digest = new ContentDigest(
      size,
      parts.map(([offset, { length }]) => ({ offset, length })),
    );
    digest.update(Buffer.concat(parts.map(([, bytes]) => bytes)));
    return digest.digest();
  };

  test.each<[name: string, content: Buffer, parts: [number, Buffer][]]>([
    ['a hole first', Buffer.concat([zeros(3 * K64 + 5), text]), [[3 * K64 + 5, text]]],
    ['a hole last', Buffer.concat([text, zeros(2 * K64)]), [[0, text]]],
    [
      'holes between',
      Buffer.concat([text, zeros(K64), text, zeros(9), text]),
      [
        [0, text],
        [K64 + 7, text],
        [K64 + 23, text],
      ],
    ],
    ['nothing but a hole', zeros(5 * K64 + 1), []],
    ['a small file', Buffer.concat([text, zeros(5)]), [[0, text]]],
  ])('does not depend on how the archive writes zeros: %s', (_, content, parts) => {
    const expected = whole(content);
    expect(sparse(content.length, parts)).toBe(expected);
    for (const cut of [1000, K64, K64 + 1]) expect(whole(content, cut)).toBe(expected);
  });

  test('tells contents apart', () => {
    const contents = [
      zeros(2 * K64),
      Buffer.concat([zeros(2 * K64 - 1), Buffer.from([1])]),
      zeros(2 * K64 + 1),
    ];
    expect(new Set(contents.map((content) => whole(content))).size).toBe(3);
  });

  test('takes no time for a hole', () => {
    expect(sparse(2 ** 49, [[2 ** 48, text]])).not.toBe(sparse(2 ** 49, [[2 ** 47, text]]));
  });
});
