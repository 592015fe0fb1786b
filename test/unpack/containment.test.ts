import { renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createResolver } from '../../src/system/index.js';
import { LayerWriter } from '../../src/unpack/layer/layer-writer.js';
import { TarReader } from '../../src/unpack/archive/tar-reader.js';
import { PRESERVED } from '../../src/unpack/ownership.js';
import { listing, Sandbox } from '../support/extract-layer.js';
import { archive, device, directory, fifo, file, hardLink, pax, symlink } from '../support/tar-builder.js';

// Runs as root, so that nothing but containment itself stands between a layer and the files outside.
const RESOLVERS = [createResolver({ openat2: true }), createResolver({ openat2: false })];

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => sandbox.remove());

/** `outside` is the absolute path of a directory that holds `sentinel` and `directory/file`; `up` leads to it from the layer's root. */
interface Row {
  readonly name: string;
  readonly parts: (outside: string, up: string) => readonly Buffer[];
  /** The error's code; without, the layer is taken and all of it lies inside. */
  readonly code?: string;
}

const ROWS: readonly Row[] = [
  { name: 'a path that climbs', parts: (_, up) => [file(`${up}/sentinel`, 'x')], code: 'UNSAFE_PATH' },
  {
    name: 'a path that climbs from within',
    parts: (_, up) => [file(`a/b/../../${up}/sentinel`, 'x')],
    code: 'UNSAFE_PATH',
  },
  {
    name: 'a path that climbs behind a slash',
    parts: (_, up) => [file(`/${up}/sentinel`, 'x')],
    code: 'UNSAFE_PATH',
  },
  {
    name: 'a pax path that climbs',
    parts: (_, up) => [file('a', 'x', { pax: { path: `${up}/sentinel` } })],
    code: 'UNSAFE_PATH',
  },
  { name: 'a directory that climbs', parts: () => [directory('..', { mode: 0o777 })], code: 'UNSAFE_PATH' },
  { name: 'a whiteout that climbs', parts: (_, up) => [file(`${up}/.wh.sentinel`)], code: 'UNSAFE_PATH' },
  {
    name: 'an opaque whiteout that climbs',
    parts: (_, up) => [file(`${up}/.wh..wh..opq`)],
    code: 'UNSAFE_PATH',
  },
  { name: 'a whiteout of the parent', parts: () => [file('.wh...')], code: 'BAD_ARCHIVE' },
  {
    name: 'a hard link that climbs',
    parts: (_, up) => [hardLink('l', `${up}/sentinel`)],
    code: 'UNSAFE_PATH',
  },
  { name: 'an absolute path', parts: (outside) => [file(`${outside}/sentinel`, 'x')] },
  {
    name: 'a hard link to an absolute path, and writing through it',
    parts: (outside) => [hardLink('l', `${outside}/sentinel`), file('l', 'x')],
  },
  {
    name: 'a file through an absolute symlink',
    parts: (outside) => [symlink('s', outside), file('s/sentinel', 'x')],
  },
  {
    name: 'a file through a symlink that climbs',
    parts: (_, up) => [symlink('s', up), file('s/sentinel', 'x')],
  },
  {
    name: 'a file through a deeper symlink that climbs',
    parts: (_, up) => [directory('d'), symlink('d/s', `../${up}`), file('d/s/sentinel', 'x')],
  },
  {
    name: 'a file through two symlinks that climb half the way each',
    parts: () => [
      directory('a/b'),
      symlink('a/b/s', '../..'),
      symlink('t', 'a/b/s/../outside'),
      file('t/sentinel', 'x'),
    ],
  },
  {
    name: 'a file through a symlink to the root of the machine',
    parts: (outside) => [symlink('s', '/'), file(`s${outside}/sentinel`, 'x')],
  },
  {
    name: 'a file through procfs',
    parts: (outside) => [symlink('s', '/proc/self/root'), file(`s${outside}/sentinel`, 'x')],
  },
  {
    name: 'a file in place of a symlink to a file outside',
    parts: (outside) => [symlink('s', `${outside}/sentinel`), file('s', 'x')],
  },
  {
    name: 'a directory over a symlink to one outside, with its attributes',
    parts: (outside) => [
      symlink('s', `${outside}/directory`),
      directory('s', { mode: 0o777, uid: 5, mtime: 5, xattrs: { 'user.a': '1' } }),
      file('s/file', 'x'),
    ],
  },
  {
    name: 'a directory that becomes a symlink',
    parts: (outside) => [
      directory('d', { mode: 0o777, mtime: 5 }),
      file('d/f', 'x'),
      symlink('d', outside),
      file('d/sentinel', 'x'),
    ],
  },
  {
    name: 'the attributes of a directory that has become a symlink',
    parts: (outside) => [
      directory('d', { mode: 0o777, uid: 5, mtime: 5 }),
      symlink('d', `${outside}/directory`),
    ],
  },
  {
    name: 'a directory and content that has become a symlink below',
    parts: (outside) => [directory('d/directory', { mode: 0o777, mtime: 5 }), symlink('d', outside)],
  },
  {
    name: 'a whiteout through a symlink',
    parts: (outside) => [symlink('s', outside), file('s/.wh.sentinel'), file('s/.wh.directory')],
  },
  {
    name: 'an opaque whiteout through a symlink',
    parts: (outside) => [symlink('s', outside), file('s/.wh..wh..opq')],
  },
  {
    name: 'replacing through a symlink',
    parts: (outside) => [symlink('s', outside), file('s/directory', 'x')],
  },
  {
    name: 'a hard link through a symlink',
    parts: (outside) => [symlink('s', outside), hardLink('l', 's/sentinel')],
  },
  {
    name: 'a hard link to a symlink, and writing through it',
    parts: (outside) => [symlink('s', `${outside}/sentinel`), hardLink('l', 's'), file('l', 'x')],
  },
  {
    name: 'a hard link to a symlink to a directory, and writing through it',
    parts: (outside) => [symlink('s', outside), hardLink('l', 's'), file('l/sentinel', 'x')],
  },
  {
    name: 'a device through a symlink',
    parts: (outside) => [symlink('s', outside), device('b', 's/sda', 8, 0), fifo('s/p')],
  },
  {
    name: 'setuid through a symlink',
    parts: (outside) => [symlink('s', outside), file('s/sh', 'x', { mode: 0o6755 })],
  },
  {
    name: 'owner, mode, times and xattrs of a symlink itself',
    parts: (outside) => [
      symlink('s', `${outside}/sentinel`, {
        mode: 0o4777,
        uid: 5,
        gid: 5,
        mtime: 5,
        xattrs: { 'trusted.a': '1' },
      }),
    ],
  },
  {
    name: 'a symlink through a symlink',
    parts: (outside) => [symlink('s', outside), symlink('s/sentinel', '/etc/passwd')],
  },
  { name: 'names with line breaks and escapes', parts: () => [file('\n\x1b[2J/..\\..\\x', 'x')] },
  {
    name: 'global records that climb',
    parts: (_, up) => [pax({ path: `${up}/sentinel` }, 'g'), file('a', 'x')],
    code: 'UNSAFE_PATH',
  },
];

describe.each(RESOLVERS)('containment ($method)', (resolver) => {
  it.each(ROWS)('$name', ({ parts, code }) => {
    const bytes = archive(...parts(sandbox.outside, '../outside'));
    const attempt = (): unknown => sandbox.extract(bytes, { resolver, form: 'overlay' });
    if (code === undefined) expect(attempt).not.toThrow();
    else expect(attempt).toThrow(expect.objectContaining({ code }));
    expect(sandbox.damage()).toEqual([]);
    expect(Object.values(listing(sandbox.layer)).join('\n')).not.toMatch(/\bfile \d+ (sentinel|inner)/);
  });

  it.each([
    { leading: 'outside', target: () => sandbox.outside },
    { leading: 'elsewhere in the layer', target: () => '/other' },
  ])('does not go through a symlink $leading that another process puts in the way', ({ target }) => {
    const writer = new LayerWriter(sandbox.layer, {
      form: 'overlay',
      ownership: PRESERVED,
      devices: true,
      resolver,
    });
    const reader = new TarReader(writer);
    // Enough directories that none of the first is still open when it is needed again.
    const more = Array.from({ length: 100 }, (_, i) => file(`other/${i}/f`));
    reader.push(Buffer.concat([directory('d/e'), directory('other/e'), ...more]));
    renameSync(join(sandbox.layer, 'd'), join(sandbox.layer, 'away'));
    symlinkSync(target(), join(sandbox.layer, 'd'));
    try {
      expect(() => reader.push(file('d/e/new', 'x'))).toThrow(
        expect.objectContaining({ code: 'FILESYSTEM' }),
      );
      expect(() => writer.finish()).toThrow(expect.objectContaining({ code: 'FILESYSTEM' }));
    } finally {
      writer.close();
    }
    expect(Object.keys(listing(sandbox.layer)).filter((path) => path.endsWith('new'))).toEqual([]);
    expect(sandbox.damage()).toEqual([]);
  });
});
