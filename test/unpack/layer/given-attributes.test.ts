import { lstatSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as at from '../../../src/system/calls/at.js';
import { O_TMPFILE } from '../../../src/system/calls/stat.js';
import * as stats from '../../../src/system/calls/stat.js';
import { SystemError } from '../../../src/system/calls/libc.js';
import { threadUmaskIsClear } from '../../../src/system/calls/sync.js';
import { LayerWriter } from '../../../src/unpack/layer/layer-writer.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { CALLERS, type Ownership } from '../../../src/unpack/terms/ownership.js';
import { isRoot } from '../../support/needs-root.js';
import { archive, device, directory, fifo, file, hardLink, symlink } from '../../support/tar-builder.js';
import { removeTree } from '../../support/unpack-fixture.js';

vi.mock('../../../src/system/calls/sync.js', { spy: true });
vi.mock('../../../src/system/calls/at.js', { spy: true });
vi.mock('../../../src/system/calls/stat.js', { spy: true });

/**
 * Every ID of the image becomes the caller's own, so that who is not root can see owners set and not set,
 * too.
 */
const OURS: Ownership = {
  uid: [{ container: 0, host: process.getuid?.() ?? 0, size: 1 }],
  gid: [{ container: 0, host: process.getgid?.() ?? 0, size: 1 }],
};
const AS_THEY_ARE: Ownership = { uid: 'preserve', gid: 'preserve' };

let root = '';
let layer = '';
let umask = 0;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'landfall-given-'));
  layer = join(root, 'layer');
  mkdirSync(layer);
  umask = process.umask(0o022);
});
afterEach(async () => {
  process.umask(umask);
  vi.resetAllMocks();
  await removeTree(root);
});

/** As in a worker, whose thread has a umask of its own. */
function clearUmask(): void {
  process.umask(0);
  vi.mocked(threadUmaskIsClear).mockReturnValue(true);
}

/** Which calls set attributes of a layer's entries, and how many of each. */
function callsFor(parts: readonly Buffer[], ownership: Ownership = OURS): Record<string, number> {
  const writer = new LayerWriter(layer, { ownership, devices: true });
  try {
    const calls = ['fchown', 'fchownat', 'fchmod', 'fchmodat', 'futimens', 'utimensat'] as const;
    for (const call of calls) vi.mocked(at[call]).mockClear();
    const reader = new TarReader(writer);
    reader.push(archive(...parts));
    reader.end();
    writer.finish();
    const counts = calls.map((call) => [call, vi.mocked(at[call]).mock.calls.length] as const);
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  } finally {
    writer.close();
  }
}

function modeOf(path: string): number {
  return lstatSync(join(layer, path)).mode & 0o7777;
}

describe('what an entry was made with is not set again', () => {
  beforeEach(clearUmask);

  it.each([
    { name: 'a file', parts: [file('f', 'x')], calls: { futimens: 1 } },
    { name: 'one that nobody may touch', parts: [file('f', 'x', { mode: 0 })], calls: { futimens: 1 } },
    { name: 'one that all may write', parts: [file('f', 'x', { mode: 0o777 })], calls: { futimens: 1 } },
    { name: 'a directory', parts: [directory('d')], calls: { utimensat: 1 } },
    {
      name: 'a directory and a file in it',
      parts: [directory('d'), file('d/f')],
      calls: { futimens: 1, utimensat: 1 },
    },
    { name: 'a symlink', parts: [symlink('s', 'x')], calls: { utimensat: 1 } },
    { name: 'a fifo', parts: [fifo('p', { mode: 0o666 })], calls: { utimensat: 1 } },
    { name: 'a hard link', parts: [file('f', 'x'), hardLink('l', 'f')], calls: { futimens: 1 } },
  ])('$name', ({ parts, calls }) => {
    expect(callsFor(parts)).toEqual(calls);
  });

  it.each([
    {
      name: 'setuid',
      parts: [file('f', 'x', { mode: 0o4755 })],
      modes: { f: 0o4755 },
      calls: { fchmod: 1, futimens: 1 },
    },
    {
      name: 'setgid',
      parts: [file('f', 'x', { mode: 0o2755 })],
      modes: { f: 0o2755 },
      calls: { fchmod: 1, futimens: 1 },
    },
    {
      name: 'the mode under which xattrs were set',
      parts: [file('f', 'x', { mode: 0o444, xattrs: { 'user.x': 'y' } })],
      modes: { f: 0o444 },
      calls: { fchmod: 1, futimens: 1 },
    },
    {
      name: 'a sticky directory',
      parts: [directory('d', { mode: 0o1777 })],
      modes: { d: 0o1777 },
      calls: { fchmod: 1, futimens: 1 },
    },
    {
      name: 'a setgid directory, which would hand its group down',
      parts: [directory('d', { mode: 0o2755 }), directory('d/e'), file('d/f')],
      modes: { d: 0o2755, 'd/e': 0o755, 'd/f': 0o644 },
      calls: { fchmod: 1, futimens: 2, utimensat: 1 },
    },
    {
      name: 'a directory that others may write, and would before it is done',
      parts: [directory('d', { mode: 0o775 })],
      modes: { d: 0o775 },
      calls: { fchmod: 1, futimens: 1 },
    },
    {
      name: 'a directory that we could not fill',
      parts: [directory('d', { mode: 0o555 }), file('d/f')],
      modes: { d: 0o555, 'd/f': 0o644 },
      calls: { fchmod: 1, futimens: 2 },
    },
    {
      name: 'a directory that has another mode by now',
      parts: [directory('d', { mode: 0o755 }), directory('d', { mode: 0o700 })],
      modes: { d: 0o700 },
      calls: { fchown: 1, fchmod: 1, futimens: 1 },
    },
    {
      name: 'a setuid fifo',
      parts: [fifo('p', { mode: 0o4666 })],
      modes: { p: 0o4666 },
      calls: { fchmodat: 1, utimensat: 1 },
    },
  ])('but $name is', ({ parts, calls, modes }) => {
    expect(callsFor(parts)).toEqual(calls);
    for (const [path, mode] of Object.entries(modes)) expect(modeOf(path), path).toBe(mode);
  });

  it.skipIf(!isRoot)('but another owner is', () => {
    const other = { uid: 7, gid: 8 };
    const parts = [
      file('f', 'x', other),
      symlink('s', 'x', other),
      device('c', 'c', 1, 3, other),
      directory('d', other),
      file('d/f', 'x', { uid: 0, gid: 0 }),
    ];
    expect(callsFor(parts, AS_THEY_ARE)).toEqual({ fchown: 3, fchownat: 2, futimens: 2, utimensat: 3 });
  });

  it('and nothing where all stays with who unpacks', () => {
    expect(callsFor([file('f', 'x', { uid: 7 }), directory('d', { gid: 8 })], CALLERS)).toEqual({
      futimens: 1,
      utimensat: 1,
    });
  });
});

describe('everything is set', () => {
  const PARTS = [file('f', 'x'), directory('d'), symlink('s', 'x'), fifo('p')];
  const MODES = { fchmod: 2, fchmodat: 1, futimens: 2, utimensat: 2 };
  const OWNERS = { fchown: 2, fchownat: 2, futimens: 1, utimensat: 3 };
  const ALL = { ...OWNERS, ...MODES };

  it('but owners, where the umask is the whole process’', () => {
    expect(callsFor(PARTS)).toEqual(MODES);
  });

  it('but owners, where that takes nothing away as yet', () => {
    process.umask(0);
    expect(callsFor(PARTS)).toEqual(MODES);
  });

  it('where no file without a name can be made', async () => {
    clearUmask();
    const { openat } = await vi.importActual<typeof at>('../../../src/system/calls/at.js');
    vi.mocked(at.openat).mockImplementation((dirfd, name, flags, mode) => {
      if ((flags & O_TMPFILE) === O_TMPFILE) throw new SystemError(95, 'openat');
      return openat(dirfd, name, flags, mode);
    });
    expect(callsFor(PARTS)).toEqual(ALL);
  });

  it.each([
    { name: 'gives files to another user', as: { uid: 65_532 }, calls: OWNERS },
    { name: 'gives files to another group', as: { gid: 65_533 }, calls: OWNERS },
    { name: 'takes permissions away', as: { mode: 0o100755 }, calls: MODES },
  ])('where the file system $name', async ({ as, calls }) => {
    clearUmask();
    const { fstat } = await vi.importActual<typeof stats>('../../../src/system/calls/stat.js');
    vi.mocked(stats.fstat).mockImplementation((fd) => ({ ...fstat(fd), ...as }));
    expect(callsFor(PARTS)).toEqual(calls);
  });
});
