import { execFileSync } from 'node:child_process';
import {
  chmod,
  chown,
  link,
  lutimes,
  mkdir,
  mkdtemp,
  open,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lremovexattr, lsetxattr, toBytePath } from '../../../src/system/index.js';
import { compareTrees } from '../../../src/unpack/merge/compare-trees.js';
import { isRoot } from '../../support/needs-root.js';
import { removeTree } from '../../support/unpack-fixture.js';

const MOMENT = new Date('2001-02-03T04:05:06Z');
/** What overlayfs keeps of its own where this user mounts it. */
const OPAQUE = isRoot ? 'trusted.overlay.opaque' : 'user.overlay.opaque';
/** Two buffers and a bit. */
const LARGE = 600 * 1024;

let root: string;
let expected: string;
let actual: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-compare-'));
  expected = join(root, 'expected');
  actual = join(root, 'actual');
  const at = (name: string): string => join(expected, name);
  await mkdir(at('d/e'), { recursive: true });
  await writeFile(at('d/f'), 'content');
  await writeFile(at('d/large'), Buffer.alloc(LARGE, 'abc'));
  await link(at('d/f'), at('d/e/linked'));
  await writeFile(at('other'), 'content');
  await link(at('other'), at('another'));
  await symlink('d/f', at('s'));
  await writeFile(Buffer.concat([Buffer.from(`${expected}/n`), Buffer.from([0xff])]), 'not UTF-8');
  if (isRoot) execFileSync('mknod', [at('null'), 'c', '1', '3']);
  execFileSync('mknod', [at('gone'), 'c', '0', '0']);
  execFileSync('mknod', [at('fifo'), 'p']);
  lsetxattr(toBytePath(at('d')), OPAQUE, Buffer.from('y'));
  lsetxattr(toBytePath(at('d/large')), 'user.x', Buffer.from([0, 255]));
  const dated = ['d/f', 'd/large', 'other', ...(isRoot ? ['null'] : []), 'fifo'];
  for (const name of dated) await utimes(at(name), MOMENT, MOMENT);
  await lutimes(at('s'), MOMENT, MOMENT);
  execFileSync('cp', ['-a', expected, actual]);
  // What cp makes of whiteouts and times is not what matters here.
  await utimes(join(actual, 'd'), 1, 1);
  if (isRoot) await chown(join(actual, 'gone'), 5, 5);
});

afterEach(() => removeTree(root));

const compare = async (limit = 5): Promise<readonly string[]> =>
  (await compareTrees({ kind: 'compare', expected, actual, limit })).differences;

/** Changes a tree and leaves its files' times as they were. */
async function at(moment: Date, path: string, change: () => Promise<unknown>): Promise<void> {
  await change();
  await lutimes(path, moment, moment);
}

test('trees that a layer made twice are equal, whatever the times of directories and all about whiteouts', async () => {
  expect(await compare()).toEqual([]);
});

type Row = readonly [
  name: string,
  change: (at: (name: string) => string) => Promise<unknown>,
  reported: string,
];

const ROWS: readonly Row[] = [
  ['a missing file', (p) => unlink(p('another')), '/another is missing'],
  ['a missing directory', (p) => rm(p('d/e'), { recursive: true }), '/d/e is missing'],
  ['a file too many', (p) => writeFile(p('d/e/more'), ''), '/d/e/more should not be there'],
  [
    'a type',
    async (p) => {
      await unlink(p('fifo'));
      await writeFile(p('fifo'), '');
    },
    '/fifo is a file, and should be a pipe',
  ],
  [
    'a symlink in place of a file',
    async (p) => {
      await unlink(p('d/large'));
      await symlink('f', p('d/large'));
    },
    '/d/large is a symlink, and should be a file',
  ],
  [
    'a whiteout that is something else',
    async (p) => {
      await unlink(p('gone'));
      execFileSync('mknod', [p('gone'), 'p']);
    },
    '/gone is a pipe, and should be a whiteout',
  ],
  ['a mode', (p) => chmod(p('d/e'), 0o700), '/d/e has mode 0700, and should have 0755'],
  ['a special bit', (p) => chmod(p('d/f'), 0o4644), '/d/e/linked has mode 4644, and should have 0644'],
  ["the root's mode", (p) => chmod(p(''), 0o711), '/ has mode 0711, and should have 0755'],
  [
    'a time',
    (p) => utimes(p('d/f'), MOMENT, new Date(MOMENT.getTime() + 1)),
    '/d/e/linked has time 981173106.001000000, and should have 981173106.000000000',
  ],
  [
    'the time of a symlink',
    (p) => lutimes(p('s'), MOMENT, 5),
    '/s has time 5.000000000, and should have 981173106.000000000',
  ],
  [
    'a size',
    (p) => at(MOMENT, p('d/f'), () => writeFile(p('d/f'), 'contents')),
    '/d/e/linked has size 8, and should have 7',
  ],
  [
    'content',
    (p) => at(MOMENT, p('d/f'), () => writeFile(p('d/f'), 'Content')),
    '/d/e/linked has other content',
  ],
  [
    'the last byte of a large file',
    (p) =>
      at(MOMENT, p('d/large'), async () => {
        await using file = await open(p('d/large'), 'r+');
        await file.write('!', LARGE - 1);
      }),
    '/d/large has other content',
  ],
  [
    'where a symlink points to',
    (p) =>
      at(MOMENT, p('s'), async () => {
        await unlink(p('s'));
        await symlink('d/g', p('s'));
      }),
    '/s points to d/g, and should to d/f',
  ],
  [
    'a hard link that became a copy',
    async (p) => {
      execFileSync('cp', ['-a', '--remove-destination', p('d/f'), p('d/copy')]);
      await rename(p('d/copy'), p('d/e/linked'));
    },
    '/d/f is not linked to what it should be',
  ],
  [
    'hard links that changed places',
    async (p) => {
      await unlink(p('other'));
      await link(p('d/f'), p('other'));
    },
    '/other is not linked to what it should be',
  ],
  [
    'a file that became a link to another',
    async (p) => {
      await unlink(p('d/large'));
      await link(p('d/f'), p('d/large'));
    },
    '/d/large is not linked to what it should be',
  ],
  [
    "an attribute of overlayfs' own",
    async (p) => {
      await Promise.resolve();
      lremovexattr(toBytePath(p('d')), OPAQUE);
    },
    `/d lacks the attribute ${OPAQUE}`,
  ],
  [
    'an attribute too many',
    async (p) => {
      await Promise.resolve();
      lsetxattr(toBytePath(p('d/e')), 'user.t', Buffer.from('v'));
    },
    '/d/e should not have the attribute user.t',
  ],
  [
    "an attribute's value",
    async (p) => {
      await Promise.resolve();
      lsetxattr(toBytePath(p('d/large')), 'user.x', Buffer.from([0, 254]));
    },
    '/d/large has another value of the attribute user.x',
  ],
];

const ROWS_OF_ROOT: readonly Row[] = [
  ['an owner', (p) => chown(p('d'), 7, 0), '/d has owner 7:0, and should have 0:0'],
  ['a group', (p) => chown(p('d'), 0, 7), '/d has owner 0:7, and should have 0:0'],
  [
    'a device',
    (p) =>
      at(MOMENT, p('null'), async () => {
        await unlink(p('null'));
        execFileSync('mknod', ['-m', '0644', p('null'), 'c', '1', '5']);
      }),
    '/null has device number 1:5, and should have 1:3',
  ],
  [
    'a whiteout that is another device',
    async (p) => {
      await unlink(p('gone'));
      execFileSync('mknod', [p('gone'), 'c', '0', '1']);
    },
    '/gone is a character device, and should be a whiteout',
  ],
  [
    'an attribute of a symlink',
    async (p) => {
      await Promise.resolve();
      lsetxattr(toBytePath(p('s')), 'trusted.t', Buffer.from('v'));
    },
    '/s should not have the attribute trusted.t',
  ],
];

test.each(ROWS)('a difference in %s is told', async (_, change, reported) => {
  await change((name) => join(actual, name));
  expect(await compare()).toEqual([reported]);
});

test.runIf(isRoot).each(ROWS_OF_ROOT)(
  'a difference in %s is told (needs root)',
  async (_, change, reported) => {
    await change((name) => join(actual, name));
    expect(await compare()).toEqual([reported]);
  },
);

test('a name that is not UTF-8 is told as well as it can be', async () => {
  await unlink(Buffer.concat([Buffer.from(`${actual}/n`), Buffer.from([0xff])]));
  expect(await compare()).toEqual(['/n\ufffd is missing']);
});

test('so many differences are told as are wanted', async () => {
  for (const name of ['d/e', 'other', 's']) await rm(join(actual, name), { recursive: true });
  expect(await compare(2)).toEqual(['/d/e is missing', '/other is missing']);
  expect(await compare(9)).toHaveLength(3);
});

test('only what is compared is touched, and nothing is changed', async () => {
  const before = await stat(dirname(join(actual, 'd/f')));
  await compare();
  const after = await stat(dirname(join(actual, 'd/f')));
  expect([after.mode, after.mtimeMs]).toEqual([before.mode, before.mtimeMs]);
});

test('an aborted comparison ends with ABORTED', async () => {
  const controller = new AbortController();
  for (let i = 0; i < 300; i++) await writeFile(join(expected, `f${i}`), '');
  execFileSync('cp', ['-a', `${expected}/.`, actual]);
  const comparing = compareTrees(
    { kind: 'compare', expected, actual, limit: 5 },
    { signal: controller.signal },
  );
  controller.abort();
  await expect(comparing).rejects.toMatchObject({ code: 'ABORTED' });
});
