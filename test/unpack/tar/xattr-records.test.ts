import { describe, expect, it } from 'vitest';
import { unpackLimits } from '../../../src/spec/index.js';
import type { TarEntry } from '../../../src/unpack/tar/tar-header.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { archive, file, pax } from '../../support/tar-builder.js';

/** The names of each entry's extended attributes. */
function xattrsIn(bytes: Buffer, entriesPerLayer: number): string[][] {
  const found: string[][] = [];
  const entry = ({ xattrs }: TarEntry): void => void found.push([...xattrs.keys()]);
  const handler = { entry, data: () => undefined, endEntry: () => undefined };
  const reader = new TarReader(handler, unpackLimits({ entriesPerLayer }));
  reader.push(bytes);
  reader.end();
  return found;
}

function records(count: number, nameBytes: number): [string, string][] {
  return Array.from({ length: count }, (_, i) => [`SCHILY.xattr.${`user.${i}.`.padEnd(nameBytes, 'x')}`, '']);
}

describe('the extended attributes of one entry', () => {
  it('may have names as long together as the kernel lists them', () => {
    expect(xattrsIn(archive(pax(records(256, 255)), file('a')), 1000)[0]).toHaveLength(256);
  });

  it.each<[string, Buffer]>([
    ['its own', archive(pax(records(257, 255)), file('a'))],
    ['those of a global header', archive(pax(records(257, 255), 'g'), file('a'))],
    [
      'both together',
      archive(
        pax(records(200, 255), 'g'),
        pax([['SCHILY.xattr.user.y', ''], ...records(256, 255)]),
        file('a'),
      ),
    ],
  ])('may not have more of them: %s', (_, bytes) => {
    expect(() => xattrsIn(bytes, 1000)).toThrow(
      expect.objectContaining({
        code: 'LIMIT_EXCEEDED',
        message: expect.stringMatching(/"a".*attributes/) as string,
      }),
    );
  });
});

describe('the extended attributes of all entries', () => {
  // Three attributes are two more than an entry has for nothing.
  const bytes = archive(pax(records(3, 10), 'g'), file('a'), file('b'));

  it('count as entries but for one of each', () => {
    expect(xattrsIn(bytes, 6)).toHaveLength(2);
    expect(() => xattrsIn(bytes, 5)).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
  });

  it('do not count where an entry has only one', () => {
    const one = archive(pax(records(1, 10), 'g'), file('a'), file('b'));
    expect(xattrsIn(one, 2)).toHaveLength(2);
  });
});

it('global records of attributes and of other things are kept apart, and both hold', () => {
  const global = pax({ mtime: '5', 'SCHILY.xattr.user.a': 'x' }, 'g');
  const found: unknown[] = [];
  const entry = ({ mtime, xattrs }: TarEntry): void =>
    void found.push([mtime.seconds, [...xattrs].map(([name, value]) => `${name}=${value.toString()}`)]);
  const reader = new TarReader({ entry, data: () => undefined, endEntry: () => undefined });
  reader.push(archive(global, file('a'), pax({ 'SCHILY.xattr.user.a': 'y', mtime: '6' }), file('b')));
  reader.end();
  expect(found).toEqual([
    [5, ['user.a=x']],
    [6, ['user.a=y']],
  ]);
});
