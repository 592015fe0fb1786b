import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Snapshotter } from '../../src/unpack/index.js';
import { isRoot } from '../support/needs-root.js';
import { type ListedEntry, TreeLister, type TreeListing } from '../support/tree-lister.js';
import { removeTree } from '../support/unpack-fixture.js';
import type { CreateSnapshotter } from './snapshotter.js';

/**
 * Snapshots that are written as containers write them: through mounts, by programs that know nothing of
 * snapshots. Every snapshot must show what the same programs make of one plain directory, and go on showing
 * it when others stand on it. The cases are those of containerd's own suite for snapshotters
 * (core/snapshots/testsuite), many of them errors that other programs had once.
 */
export function snapshotContentTests(create: CreateSnapshotter): void {
  describe('content that is written through mounts', () => {
    let lister: TreeLister;
    beforeAll(() => {
      lister = new TreeLister();
    });
    afterAll(() => lister[Symbol.asyncDispose]());

    for (const row of CASES) {
      test.skipIf(row.needsRoot === true && !isRoot)(row.name, () => check(create, lister, row));
    }
    test('128 snapshots upon one another', () => check(create, lister, MANY, [0, 63, 127]));

    test('a view cannot be written to', async () => {
      await using under = await create();
      const { snapshotter } = under;
      await snapshotter.prepare('k');
      await snapshotter.commit('k', 'empty');
      const mounts = await snapshotter.view('v', 'empty');
      await expect(lister.change({ mounts }, 'touch file')).rejects.toThrow(/Read-only file system/);
      await expect(lister.change({ mounts: await snapshotter.view('w') }, 'touch file')).rejects.toThrow(
        /Read-only file system/,
      );
    });

    test('the root of the first snapshot is open to all, whatever the umask', async () => {
      const before = process.umask(0o077);
      try {
        await using under = await create();
        const listing = await lister.mounted(await under.snapshotter.prepare('k'));
        expect(listing['']).toMatchObject({ mode: 0o755, owner: '0:0' });
      } finally {
        process.umask(before);
      }
    });
  });
}

interface ContentCase {
  readonly name: string;
  /** Shell scripts that run in the tree, one for each snapshot. */
  readonly steps: readonly string[];
  /** It gives files to others, or makes devices. */
  readonly needsRoot?: boolean;
  /**
   * It writes to one name of a file with several: overlayfs copies that name up, and leaves the others with
   * the lower file.
   */
  readonly linksPart?: boolean;
}

const CASES: readonly ContentCase[] = [
  {
    name: 'files and directories added, changed and removed',
    steps: [
      'echo foo > foo; mkdir -p a/b/c; touch a/b/c/file',
      'echo bar > bar; echo bar > foo; rm -r a/b',
      'mkdir -p a/b; touch a/b/new',
    ],
  },
  {
    name: 'nothing changed, twice',
    steps: ['echo foo > foo', ':', ':'],
  },
  {
    // docker/docker#21555
    name: 'a file whose size and second stay the same',
    steps: [
      'mkdir -m 700 etc; printf "mydomain 10.0.0.1" > etc/hosts; printf PATH=/usr/bin > etc/profile; chmod 644 etc/*',
      'printf "mydomain 10.0.0.2" > etc/hosts; chmod 666 etc/profile; mkdir -m 700 root; echo x > root/.bashrc',
    ],
  },
  {
    // docker/docker#25244
    name: 'a directory removed and made anew does not bring back what was in it',
    steps: [
      'mkdir -m 700 lib; touch lib/hidden',
      'rm -r lib; mkdir -m 700 lib; touch lib/not-hidden',
      'touch lib/newfile',
    ],
  },
  {
    name: 'a deleted file stays deleted in all that stands on it',
    steps: ['echo foo > foo; echo foobar > foobar', 'rm foobar', ':', 'touch other'],
  },
  {
    // docker/docker#20240, #24913, #28391
    name: 'owners of a tree changed',
    needsRoot: true,
    steps: ['mkdir -p opt/a/b; echo hello > opt/a/b/file.txt', 'chown -R 1:1 opt'],
  },
  {
    // docker/docker#27298
    name: 'owners of directories, those made anew among them',
    needsRoot: true,
    steps: [
      'mkdir -m 700 1 2 3 4 5; touch 4/f 5/f; chown 1:1 1 2 3 5 5/f',
      'chown 0:0 2; rmdir 3; chown 1:1 4 4/f',
      'mkdir -m 700 3; chown 1:1 3; rm -r 5; mkdir -m 700 5; chown 1:1 5',
    ],
  },
  {
    // docker/docker#25409
    name: 'files renamed, one over another, and a directory',
    steps: [
      'mkdir -m 700 dir somefiles; touch dir/x; echo first > somefiles/f1; echo nothing > somefiles/f2',
      'mv dir dir2; echo new > somefiles/new; mv somefiles/new somefiles/f1; mv somefiles/f2 somefiles/f3',
      'mv dir2 dir; mv somefiles/f3 somefiles/f2',
    ],
  },
  {
    name: 'a file moved from one directory to another by links',
    steps: [
      'mkdir -m 700 dir1 dir2; echo Hello > dir1/f1; echo ... > dir2/f2',
      'mkdir -m 700 dir3; echo Hello > dir3/f1; rm -r dir1; ln dir2/f2 dir3/f2; rm dir2/f2',
    ],
  },
  {
    name: 'hard links made and taken apart',
    steps: ['echo one > f; ln f g; ln f h', 'echo two > j; ln j k; rm h', 'rm f; rm k; touch l'],
  },
  {
    name: 'hard links to what lies below, which is written to',
    linksPart: true,
    steps: ['echo one > f; ln f g', 'ln f i; ln i j; rm j; mv i k', 'rm f'],
  },
  {
    name: 'modes changed, of files and directories',
    steps: ['mkdir d; touch d/f s', 'chmod 4711 s; chmod 1777 d; chmod 0 d/f', 'chmod 755 s; chmod 2700 d'],
  },
  {
    name: 'the root itself, and a file in it',
    steps: ['echo 1 > f; chmod 1777 .; touch -d @5 .', 'echo 2 > f', 'chmod 711 .'],
  },
  {
    name: 'one kind of file in the place of another',
    steps: [
      'echo x > f-d; mkdir d-f d-s; touch d-f/x d-s/x; ln -s to s-f; ln -s to s-d; mkfifo p-f',
      'rm f-d; mkdir f-d; rm -r d-f; echo x > d-f; rm -r d-s; ln -s to d-s; rm s-f; echo x > s-f; rm s-d; mkdir s-d; rm p-f; touch p-f',
      'rmdir f-d s-d; echo y > f-d; rm d-f; mkdir d-f',
    ],
  },
  {
    name: 'extended attributes set, changed and removed',
    steps: [
      'touch f; mkdir d; setfattr -n user.a -v 1 f; setfattr -n user.a -v 1 d; setfattr -n user.b -v 1 d',
      'setfattr -n user.a -v 2 f; setfattr -x user.a d; setfattr -n user.c -v "" d',
    ],
  },
  {
    name: 'devices, and what only root can set',
    needsRoot: true,
    steps: [
      'mknod null c 1 3; mknod sda b 8 0; touch f; setfattr -n trusted.a -v 1 f; chown 5:6 f; chmod 6755 f',
      'rm null; mknod null c 1 5; setcap cap_net_raw+ep f',
    ],
  },
  {
    name: 'names that need care',
    steps: [
      `touch "$(printf 'a\\nb')" "$(printf '\\377')" -- -f 'a,b:c\\d' '.wh.x'; mkdir "$(printf '%0255d' 0)"`,
      `rm "$(printf 'a\\nb')"; rm -- -f; echo x > "$(printf '\\377')"; rmdir "$(printf '%0255d' 0)"`,
    ],
  },
];

const MANY: ContentCase = {
  name: '128 snapshots',
  steps: [
    'echo bottom > bottom; echo first > overwrite; mkdir add only; echo bye > only/bottom',
    ...Array.from(
      { length: 127 },
      (_, i) => `echo ${i} > overwrite; echo same > add/${i}; rm -r only; mkdir only; echo me > only/${i}`,
    ),
  ],
};

/** @param watched - numbers of the snapshots that are looked at; all by default */
async function check(
  create: CreateSnapshotter,
  lister: TreeLister,
  row: ContentCase,
  watched?: readonly number[],
): Promise<void> {
  const { steps, linksPart = false } = row;
  const see = (listing: TreeListing): TreeListing => comparable(listing, linksPart);
  await using under = await create();
  await using flat = await flatDirectory();
  const { snapshotter } = under;
  const expected = new Map<string, TreeListing>();
  let parent: string | undefined;
  for (const [i, step] of steps.entries()) {
    const name = `snapshot ${i}`;
    await lister.change({ mounts: await snapshotter.prepare('active', parent) }, step);
    await snapshotter.commit('active', name);
    await lister.change({ directory: flat.path }, step);
    if (watched === undefined || watched.includes(i)) {
      expected.set(name, see(await lister.directory(flat.path)));
      expect(see(await seen(snapshotter, lister, name)), name).toEqual(expected.get(name));
    }
    parent = name;
  }
  for (const [name, listing] of expected)
    expect(see(await seen(snapshotter, lister, name)), name).toEqual(listing);
}

async function flatDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'landfall-flat-'));
  await chmod(path, 0o755);
  return { path, [Symbol.asyncDispose]: () => removeTree(path) };
}

async function seen(snapshotter: Snapshotter, lister: TreeLister, name: string): Promise<TreeListing> {
  const mounts = await snapshotter.view('view', name);
  try {
    return await lister.mounted(mounts);
  } finally {
    await snapshotter.remove('view');
  }
}

/** Without times, since the steps run at two, and without what overlayfs does not count right. */
function comparable(listing: TreeListing, linksPart: boolean): TreeListing {
  const entries = Object.entries(listing).map(([path, entry]): [string, ListedEntry] => [
    path,
    { ...entry, mtime: 0, nlink: 0, file: linksPart ? '' : entry.file },
  ]);
  return Object.fromEntries(entries);
}
