import { execFileSync } from 'node:child_process';
import { chmodSync, lstatSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lgetxattr, llistxattr, lsetxattr, toBytePath } from '../../../src/system/index.js';
import { CALLERS } from '../../../src/unpack/terms/ownership.js';
import { listing, Sandbox, type Extracted, type ExtractOptions } from '../../support/extract-layer.js';
import { isRoot } from '../../support/needs-root.js';
import {
  archive,
  device,
  directory,
  entry,
  fifo,
  file,
  hardLink,
  pax,
  symlink,
} from '../../support/tar-builder.js';
import { OPQ } from './written-layer.js';

let sandbox: Sandbox;
beforeEach(() => {
  sandbox = new Sandbox();
});
afterEach(() => {
  const damage = sandbox.damage();
  sandbox.remove();
  expect(damage).toEqual([]);
});

/** user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::---, as the kernel stores them. */
const ACL = Buffer.from(
  '0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000000ffffffff',
  'hex',
);
/** The form of overlay that this user can write. */

const extract = (parts: readonly Buffer[], o?: ExtractOptions): Extracted =>
  sandbox.extract(archive(...parts), o);

describe('attributes', () => {
  const at = (found: Extracted, path: string): string => join(found.directory, path);

  it.skipIf(!isRoot)('gives every kind of entry its owner', () => {
    const options = { uid: 1234, gid: 3_000_000_000 };
    const found = extract([
      directory('.', options),
      directory('d', options),
      file('d/f', 'x', options),
      symlink('s', '/etc/passwd', options),
      device('c', 'c', 1, 3, options),
      fifo('p', options),
      hardLink('l', 'd/f', { uid: 9 }),
      file('implied/f'),
    ]);
    for (const path of ['', 'd', 'd/f', 's', 'c', 'p', 'l'])
      expect(lstatSync(at(found, path)), path).toMatchObject(options);
    expect(lstatSync(at(found, 'implied'))).toMatchObject({ uid: 0, gid: 0 });
  });

  it('leaves every owner to the caller where it is told to', () => {
    const found = extract([file('f', 'x', { uid: 7, gid: 8, mode: 0o4711 }), directory('d', { uid: 7 })], {
      ownership: CALLERS,
    });
    const { uid, gid } = { uid: process.getuid?.(), gid: process.getgid?.() };
    for (const path of ['f', 'd']) expect(lstatSync(at(found, path))).toMatchObject({ uid, gid });
    expect(lstatSync(at(found, 'f')).mode & 0o7777).toBe(0o4711);
  });

  it('gives every kind of entry its times, directories after their content', () => {
    const times = { pax: { mtime: '1000000000.123456789', atime: '999999999.5' } };
    const found = extract([
      directory('.', times),
      directory('d', times),
      file('d/f', 'x', times),
      symlink('d/s', 'x', times),
      fifo('d/p', times),
      file('d/.wh.x'),
      file(`d/${OPQ}`),
      hardLink('d/l', 'd/f', { mtime: 5 }),
      file('negative', '', { pax: { mtime: '-1.25' } }),
    ]);
    for (const path of ['', 'd', 'd/f', 'd/s', 'd/p', 'd/l']) {
      const stat = lstatSync(at(found, path), { bigint: true });
      expect([stat.mtimeNs, stat.atimeNs], path).toEqual([
        1_000_000_000_123_456_789n,
        999_999_999_500_000_000n,
      ]);
    }
    expect(lstatSync(at(found, 'negative'), { bigint: true }).mtimeNs).toBe(-1_250_000_000n);
    expect(lstatSync(at(found, 'negative'), { bigint: true }).atimeNs).toBe(-1_250_000_000n);
  });

  it.skipIf(!isRoot)('sets xattrs byte by byte, after the owner, on what takes them', () => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    const found = extract([
      file('f', 'x', {
        uid: 5,
        mode: 0o400,
        xattrs: { 'user.b': Buffer.from([0, 255, 10]), 'user.empty': '', 'security.capability': capability },
      }),
      directory('d', { mode: 0o500, xattrs: { 'user.d': '1', 'trusted.t': '2' } }),
      symlink('s', 'x', { xattrs: { 'trusted.t': '3' } }),
      fifo('p', { xattrs: { 'trusted.t': '4' } }),
    ]);
    expect(lgetxattr(at(found, 'f'), 'user.b')).toEqual(Buffer.from([0, 255, 10]));
    expect(lgetxattr(at(found, 'f'), 'user.empty')).toEqual(Buffer.alloc(0));
    expect(lgetxattr(at(found, 'f'), 'security.capability')).toEqual(capability);
    expect(lgetxattr(at(found, 'd'), 'user.d')?.toString()).toBe('1');
    expect(lgetxattr(at(found, 's'), 'trusted.t')?.toString()).toBe('3');
    expect(lgetxattr(at(found, 'p'), 'trusted.t')?.toString()).toBe('4');
    expect(found.warnings).toEqual([]);
  });

  it('replaces the attributes of a directory by those of a later entry, xattrs included', () => {
    const found = extract([
      directory('d', { uid: 1, mode: 0o700, mtime: 5, xattrs: { 'user.old': '1', 'user.both': '1' } }),
      file('d/f', 'x'),
      directory('d', { uid: 2, mode: 0o711, mtime: 6, xattrs: { 'user.both': '2' } }),
    ]);
    expect(lstatSync(at(found, 'd'))).toMatchObject({ uid: isRoot ? 2 : process.getuid?.(), mtimeMs: 6000 });
    expect(llistxattr(at(found, 'd'))).toEqual(['user.both']);
    expect(lgetxattr(at(found, 'd'), 'user.both')?.toString()).toBe('2');
  });

  it('drops the marks of overlay with one warning for each name space, in every form', () => {
    const xattrs = {
      'trusted.overlay.opaque': 'y',
      'user.overlay.opaque': 'y',
      'trusted.overlay.redirect': '/etc',
      'user.kept': '1',
    };
    const found = extract([
      directory('a', { xattrs }),
      file('b', '', { xattrs }),
      directory('.', { xattrs }),
    ]);
    for (const path of ['', 'a', 'b']) expect(llistxattr(at(found, path))).toEqual(['user.kept']);
    expect(found.warnings).toEqual([
      expect.stringMatching(/trusted\.overlay\.\* are not kept.*first is of "a"/) as string,
      expect.stringMatching(/user\.overlay\.\* are not kept.*first is of "a"/) as string,
    ]);
  });

  it('warns once for each name space that the file system refuses', () => {
    const xattrs = { 'user.a': '1', 'user.b': '1', 'nonsense.x': '1' };
    const found = extract([symlink('s', 'x', { xattrs }), symlink('t', 'x', { xattrs })]);
    expect(found.warnings).toHaveLength(2);
    expect(found.warnings[0]).toMatch(/"user".*"s"/);
  });

  it('does not let a default ACL of the layer change what is still to come', () => {
    const found = extract([
      directory('d', { xattrs: { 'system.posix_acl_default': ACL } }),
      file('d/f', 'x', { mode: 0o644 }),
      directory('d/e'),
    ]);
    expect(lgetxattr(at(found, 'd'), 'system.posix_acl_default')).toEqual(ACL);
    for (const path of ['d/f', 'd/e']) expect(llistxattr(at(found, path))).toEqual([]);
    expect(statSync(at(found, 'd/f')).mode & 0o777).toBe(0o644);
  });

  it('takes nothing from the directory above: no ACL, no group and no mode', () => {
    lsetxattr(toBytePath(sandbox.root), 'system.posix_acl_default', ACL);
    chmodSync(sandbox.root, 0o2777);
    rmSync(sandbox.layer, { recursive: true });
    mkdirSync(sandbox.layer);
    expect(llistxattr(toBytePath(sandbox.layer))).toContain('system.posix_acl_default');
    const found = extract([file('d/f', 'x', { mode: 0o644 }), directory('e', { mode: 0o700 })]);
    for (const path of ['', 'd', 'd/f', 'e']) {
      expect(llistxattr(toBytePath(at(found, path))), path).toEqual([]);
      expect(lstatSync(at(found, path)).gid, path).toBe(process.getgid?.());
    }
    expect(statSync(found.directory).mode & 0o7777).toBe(0o755);
    expect(listing(found.directory)).toEqual({ d: 'dir 755', 'd/f': 'file 644 x', e: 'dir 700' });
  });

  it('keeps an xattr that is larger than the file system can hold out with a warning, and says not that the disk is full', () => {
    const found = extract([
      file('f', 'x', { xattrs: { 'user.small': '1', 'user.large': Buffer.alloc(60_000, 1) } }),
    ]);
    const names = llistxattr(toBytePath(at(found, 'f')));
    expect(names).toContain('user.small');
    // ext4 has one block for all of a file's attributes, others have room for this.
    if (names.includes('user.large')) expect(found.warnings).toEqual([]);
    else
      expect(found.warnings).toEqual([expect.stringMatching(/"user" are not kept.*larger than it can hold/)]);
  });

  // One that shuts out even who makes a directory leaves it to root alone to make any.
  it.each(isRoot ? [0o000, 0o077, 0o777] : [0o000, 0o077])('does not depend on the umask %i', (umask) => {
    const before = process.umask(umask);
    try {
      const found = extract([
        file('i/f', 'x', { mode: 0o666 }),
        fifo('p', { mode: 0o666 }),
        directory('d', { mode: 0o777 }),
      ]);
      expect(listing(found.directory)).toEqual({
        i: 'dir 755',
        'i/f': 'file 666 x',
        p: 'fifo 666',
        d: 'dir 777',
      });
    } finally {
      process.umask(before);
    }
  });

  it('keeps holes', () => {
    const records = {
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'f',
      'GNU.sparse.realsize': '100000000',
    };
    const map = '2\n0\n3\n50000000\n2\n'.padEnd(512, '\0');
    const found = extract([pax(records), entry({ path: 'GNUSparseFile.0/f' }, `${map}ABCDE`)]);
    expect(statSync(at(found, 'f'))).toMatchObject({ size: 100_000_000 });
    expect(statSync(at(found, 'f')).blocks).toBeLessThan(100);
    const read = (skip: number, count: number): string =>
      execFileSync('dd', [
        `if=${at(found, 'f')}`,
        'bs=1',
        `skip=${skip}`,
        `count=${count}`,
        'status=none',
      ]).toString('latin1');
    expect([read(0, 4), read(49_999_999, 4)]).toEqual(['ABC\0', '\0DE\0']);
  });

  it('shares one inode among hard links', () => {
    const found = extract([file('a', 'x'), hardLink('b', 'a'), hardLink('c', 'b')]);
    expect(statSync(at(found, 'a')).nlink).toBe(3);
  });

  it('keeps more directories open than it may', () => {
    const parts = Array.from({ length: 200 }, (_, i) => file(`d${i % 100}/e/f${i}`, `${i}`));
    const found = extract(parts);
    expect(Object.values(listing(found.directory)).filter((line) => line.startsWith('file'))).toHaveLength(
      200,
    );
    expect(found.changes.implied).toHaveLength(201);
  });
});

describe('devices that are not made', () => {
  it('leaves them out with one warning for each kind, and hides what the lower layers have there', () => {
    const parts = [
      device('c', 'null', 1, 3),
      device('c', 'zero', 1, 5),
      device('b', 'sda', 8, 0),
      fifo('p'),
      file('f', 'x'),
    ];
    const found = extract(parts, { devices: false });
    expect(listing(found.directory)).toEqual({ p: 'fifo 644', f: 'file 644 x' });
    expect(found.changes.whiteouts).toEqual(['null', 'zero', 'sda']);
    expect(found.warnings).toEqual([
      expect.stringMatching(/character devices.*"null"/) as string,
      expect.stringMatching(/block devices.*"sda"/) as string,
    ]);
  });

  it('leaves out what is linked to them too, as long as nothing takes their place', () => {
    const found = extract(
      [
        device('c', 'd/null', 1, 3),
        hardLink('l', 'd/null'),
        hardLink('m', 'l'),
        hardLink('n', 'd/null'),
        file('n', 'x'),
        file('l', 'y'),
        hardLink('o', 'l'),
      ],
      { devices: false },
    );
    expect(listing(found.directory)).toEqual({
      d: 'dir 755',
      n: 'file 644 x',
      l: 'file 644 y',
      o: 'file 644 y',
    });
    expect(found.changes).toMatchObject({ whiteouts: ['m', 'd/null'], pendingLinks: [] });
  });

  it('lets a later entry take the place', () => {
    const found = extract([file('n', 'x'), device('c', 'n', 1, 3), file('n', 'y')], { devices: false });
    expect(listing(found.directory)).toEqual({ n: 'file 644 y' });
    expect(found.changes.whiteouts).toEqual([]);
  });
});
