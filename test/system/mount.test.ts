import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  escapeOverlayPath,
  isMountPoint,
  mountFromSpec,
  overlaySpec,
  parseMountInfo,
  unmount,
} from '../../src/system/index.js';
import { codeOf, isRoot } from './scratch.js';

const scenarios = join(import.meta.dirname, 'mount-scenarios.js');
const made: string[] = [];
afterAll(() => {
  // The mounts lay in namespaces that are gone.
  for (const directory of made) rmSync(directory, { recursive: true, force: true });
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'landfall-mount-'));
  made.push(directory);
  return directory;
}

/** Runs a scenario with `unshare` and these arguments, and returns what it saw. */
function run(name: string, o: { unshare?: readonly string[]; uid?: number; script?: string } = {}): unknown {
  const directory = newDirectory();
  if (o.uid !== undefined) chmodSync(directory, 0o777);
  const { unshare = ['-m', '--propagation', 'private'], uid } = o;
  const command = ['unshare', ...unshare, process.execPath, o.script ?? scenarios, name, directory];
  const child =
    uid === undefined
      ? command
      : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...command];
  return JSON.parse(execFileSync(child[0] ?? '', child.slice(1), { encoding: 'utf8' }));
}

describe.runIf(isRoot)('mounting (needs root)', () => {
  it('puts the first layer on top, read-only, and leaves nothing busy', () => {
    expect(run('order')).toEqual({
      names: ['only-a', 'only-b', 'only-c', 'shared'],
      shared: 'c',
      write: 'EROFS',
      mounted: true,
      after: [[], false],
    });
  });

  it('takes changes in the upper directory, as whiteouts where names are removed', () => {
    expect(run('upper')).toEqual({
      names: ['new', 'only-b', 'shared'],
      shared: 'b',
      upper: ['new', 'only-a'],
      whiteout: [0o020000, 0, 0],
    });
  });

  it('takes none where it is read-only', () => {
    expect(run('upperReadOnly')).toMatchObject({ shared: 'a', write: 'EROFS' });
  });

  it('shows a single layer by a read-only bind mount, since overlayfs refuses it', () => {
    const seen = run('single');
    expect(seen).toMatchObject({ names: ['only-a', 'shared'], write: 'EROFS' });
    expect(seen).not.toMatchObject({ type: 'overlay' });
  });

  it('shows an upper directory without layers by a bind mount', () => {
    expect(run('onlyUpper')).toEqual({
      names: ['only-u', 'shared', 'x'],
      shared: 'u',
      upper: ['only-u', 'shared', 'x'],
    });
  });

  it.each(['oddPaths', 'oddPathsOld', 'oddPathsSpec'])(
    'takes any path: colons, commas, backslashes, spaces, long ones (%s)',
    (name) => {
      expect(run(name)).toEqual(Array.from({ length: 8 }, () => 'true,true,true,false'));
    },
  );

  it('takes 500 layers, one at a time', () => {
    expect(run('many')).toEqual({ names: 501, shared: '0/with-a-long-name-that-fills-the-page', leaked: 0 });
  });

  it('takes 250 layers, each of a name too long for one value of the mount API', () => {
    expect(run('manyLong')).toEqual({ names: 251, shared: `0/${'n'.repeat(255)}`, leaked: 0 });
  });

  it('takes 200 layers by mount(2), in one page', () => {
    expect(run('manyOld')).toEqual({
      names: 201,
      shared: '0/with-a-long-name-that-fills-the-page',
      leaked: 0,
    });
  });

  it.each(['tooManyOld', 'tooMany'])('says the limit where there are more layers than fit (%s)', (name) => {
    expect(run(name)).toEqual({
      name: 'LandfallError',
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/40[01]|501/) as string,
      hint: expect.stringContaining('landfall unpack') as string,
      leaked: 0,
    });
  });

  it('binds, with or without the mounts below, read-only throughout or not', () => {
    expect(run('bind')).toEqual({
      recursive: ['only-b', 'shared'],
      write: ['EROFS', 'EROFS'],
      flat: [],
      flatWrite: 'none',
      options: expect.arrayContaining(['ro', 'nodev']) as string[],
    });
  });

  it('binds read-only by mount(2)', () => {
    expect(run('bindOld')).toMatchObject({
      shared: 'a',
      write: 'EROFS',
      options: expect.arrayContaining(['ro', 'nosuid']) as string[],
    });
  });

  it('takes a mount in containerd’s form', () => {
    expect(run('spec')).toEqual({
      overlay: { names: ['only-a', 'only-b', 'shared'], shared: 'a' },
      noexec: true,
      bind: { names: ['only-b', 'shared'], shared: 'b' },
      write: 'EROFS',
    });
  });

  it('says IN_USE of a mount in which a file is open, and takes it away lazily', () => {
    expect(run('busy')).toEqual({
      busy: expect.objectContaining({ code: 'IN_USE', hint: expect.any(String) as string }) as unknown,
      gone: false,
    });
  });

  it('fails with what the kernel says, and leaves nothing mounted', () => {
    expect(run('failures')).toMatchObject({
      absentLayer: {
        name: 'UnpackError',
        code: 'FILESYSTEM',
        message: expect.stringContaining('none') as string,
      },
      fileAsLayer: { code: 'FILESYSTEM' },
      absentTarget: { code: 'FILESYSTEM' },
      absentSource: { code: 'FILESYSTEM', message: expect.stringContaining('none') as string },
      upperWithoutWork: { code: 'INVALID_CONFIG' },
      nothing: { code: 'INVALID_CONFIG' },
      workElsewhere: { code: 'FILESYSTEM', hint: expect.stringContaining('work directory') as string },
      mounts: 0,
    });
  });
});

describe.runIf(isRoot)('mounting as nobody (needs root to become nobody)', () => {
  const root = join(import.meta.dirname, '../..');
  let script = '';

  // The working tree may lie where nobody can read it.
  beforeAll(() => {
    const parent = newDirectory();
    chmodSync(parent, 0o755);
    const copy = join(parent, 'copy');
    script = join(copy, 'test/system/mount-scenarios.js');
    for (const part of [
      'dist/src',
      'test/system',
      'package.json',
      'node_modules/koffi',
      'node_modules/@koromix',
      'node_modules/p-limit',
      'node_modules/yocto-queue',
    ]) {
      cpSync(join(root, part), join(copy, part), { recursive: true });
    }
  });

  it('is UNSUPPORTED, with what to do about it', () => {
    const refused = {
      name: 'LandfallError',
      code: 'UNSUPPORTED',
      hint: expect.stringContaining('unshare -Urm') as string,
    };
    expect(run('unprivileged', { uid: 65_534, unshare: ['--'], script })).toMatchObject({
      overlay: refused,
      bind: refused,
      unmount: refused,
    });
  });

  it.each(['manyInUserNamespace', 'manyOldInUserNamespace'])(
    'takes 200 layers and an upper directory in a user namespace (%s)',
    (name) => {
      expect(run(name, { uid: 65_534, unshare: ['-Urm'], script })).toEqual({
        names: 202,
        shared: '0/with-a-long-name-that-fills-the-page',
        upper: ['new'],
      });
    },
  );

  it('works in a user namespace, with user.overlay.* attributes', () => {
    expect(run('userNamespace', { uid: 65_534, unshare: ['-Urm'], script })).toMatchObject({
      shared: 'a',
      upper: ['new'],
      write: 'EROFS',
    });
  });
});

describe('unmount', () => {
  it.runIf(isRoot).each([
    ['a directory that is no mount point', (at: string): string => at],
    ['what does not exist', (at: string): string => join(at, 'nothing')],
    ['what lies below a file', (): string => '/proc/version/x'],
    [
      'a symlink to a mount point',
      (at: string): string => {
        symlinkSync('/proc', join(at, 'link'));
        return join(at, 'link');
      },
    ],
  ])('says of %s that it is none (needs root)', (_, make) => {
    const target = make(newDirectory());
    const call = (): void => unmount(target);
    expect(codeOf(call)).toBe('INVALID_CONFIG');
    expect(call).toThrow(`${target} is not a mount point`);
    expect(isMountPoint('/proc')).toBe(true);
  });
});

describe('isMountPoint', () => {
  it('knows the root and /proc, through symlinks to the directory above, and nothing that is not one', () => {
    const directory = newDirectory();
    symlinkSync('/', join(directory, 'root'));
    mkdirSync(join(directory, 'plain'));
    expect(
      [
        '/',
        '/proc',
        '/proc/',
        join(directory, 'root/proc'),
        join(directory, 'plain'),
        join(directory, 'none'),
      ].map(isMountPoint),
    ).toEqual([true, true, true, true, false, false]);
  });
});

describe('parseMountInfo', () => {
  it.each([
    [
      'an ordinary line',
      '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue',
      '/mnt2',
      'ext3',
    ],
    ['no optional fields', '36 35 98:0 / /mnt rw - ext3 /dev/root rw', '/mnt', 'ext3'],
    ['several optional fields', '36 35 98:0 / /mnt rw shared:1 master:2 - ext3 x rw', '/mnt', 'ext3'],
    ['a hyphen as source and target', '36 35 98:0 / /- rw - tmpfs - rw', '/-', 'tmpfs'],
    ['octal escapes', '36 35 98:0 / /a\\040b\\011c\\012d\\134e rw - tmpfs x rw', '/a b\tc\nd\\e', 'tmpfs'],
    ['UTF-8', '36 35 98:0 / /na\xc3\xafve rw - tmpfs x rw', '/naïve', 'tmpfs'],
    ['an empty source', '36 35 98:0 / /mnt rw - tmpfs  rw', '/mnt', 'tmpfs'],
  ])('reads %s', (_, line, target, type) => {
    expect(parseMountInfo(`${line}\n`)).toMatchObject([{ target, type }]);
  });

  it('passes over what is not of its form', () => {
    expect(parseMountInfo('\nnonsense\n1 2 3:4 / /mnt rw tmpfs x rw\n')).toEqual([]);
  });
});

describe('mounts in containerd’s form', () => {
  it.each([
    [
      'two layers',
      { lower: ['/b', '/a'] },
      {},
      { type: 'overlay', source: 'overlay', options: ['lowerdir=/b:/a'] },
    ],
    [
      'an upper directory',
      { lower: ['/b', '/a'], upper: '/u', work: '/w' },
      { userxattr: true },
      {
        type: 'overlay',
        source: 'overlay',
        options: ['workdir=/w', 'upperdir=/u', 'lowerdir=/b:/a', 'userxattr'],
      },
    ],
    ['a single layer', { lower: ['/a'] }, {}, { type: 'bind', source: '/a', options: ['ro', 'rbind'] }],
    [
      'only an upper directory',
      { lower: [], upper: '/u' },
      {},
      { type: 'bind', source: '/u', options: ['rw', 'rbind'] },
    ],
    [
      'paths that need an escape',
      { lower: ['/a:b', '/c,d\\e'] },
      { readOnly: true },
      { type: 'overlay', source: 'overlay', options: ['lowerdir=/a\\:b:/c\\,d\\\\e', 'ro'] },
    ],
  ])('say %s', (_, layers, o, expected) => {
    expect(overlaySpec(layers, o)).toEqual(expected);
  });

  it('escape nothing else', () => {
    expect(escapeOverlayPath('/a b=c')).toBe('/a b=c');
  });

  it.each([
    ['another type', { type: 'ext4', source: '/dev/sda', options: [] }],
    ['another option', { type: 'overlay', source: 'overlay', options: ['lowerdir=/a:/b', 'metacopy=on'] }],
    ['no layers', { type: 'overlay', source: 'overlay', options: [] }],
  ])('are INVALID_CONFIG with %s', (_, spec) => {
    expect(codeOf(() => mountFromSpec(spec, '/nowhere'))).toBe('INVALID_CONFIG');
  });
});
