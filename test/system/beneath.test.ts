import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createResolver,
  defaultResolver,
  fstat,
  mkdirat,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat2Available,
  openBeneath,
  symlinkat,
  type BeneathOptions,
  type Resolver,
} from '../../src/system/index.js';
import { codeOf, scratchDirectory } from './scratch.js';

const BUILT = new URL('../../dist/src/system/index.js', import.meta.url).href;
const SENTINEL = 'outside';
const scratch = scratchDirectory();
const rootPath = join(scratch, 'root');
const LONGEST = 'n'.repeat(255);
const DEEP = Array.from({ length: 200 }, (_, i) => `d${i}`).join('/');
let root = -1;

/** A file holds its own path, so that reading says where resolution ended. */
function plant(path: string): void {
  mkdirSync(join(rootPath, path, '..'), { recursive: true });
  writeFileSync(join(rootPath, path), path);
}

beforeAll(() => {
  writeFileSync(join(scratch, 'secret'), SENTINEL);
  mkdirSync(join(scratch, 'etc'));
  writeFileSync(join(scratch, 'etc/passwd'), SENTINEL);
  for (const path of [
    'etc/passwd',
    'usr/lib/a',
    'file',
    'secret-not',
    `${LONGEST}/${LONGEST}`,
    `${DEEP}/leaf`,
  ])
    plant(path);
  const links: readonly (readonly [string, string])[] = [
    ['lib', 'usr/lib'],
    ['abs', '/usr/lib'],
    ['abs-root', '/'],
    ['out', scratch],
    ['up', '../../../../../../..'],
    ['usr/up', '../../..'],
    ['usr/lib/sibling', '../../etc'],
    ['loop', 'loop'],
    ['ping', 'pong'],
    ['pong', 'ping'],
    ['dangling', 'nowhere'],
    ['to-file', 'file'],
    ['dots', './usr/.//lib/.'],
    ['magic', '/proc/self/root'],
  ];
  for (const [name, target] of links) symlinkSync(target, join(rootPath, name));
  for (let i = 1; i <= 41; i++)
    symlinkSync(i === 1 ? 'usr/lib' : `chain${i - 1}`, join(rootPath, `chain${i}`));
  root = openSync(rootPath, O_PATH | O_DIRECTORY);
  mkdirat(root, '\xff\xfe', 0o755);
  symlinkat('\xff\xfe', root, '\xe9link');
  writeFileSync(Buffer.from(`${rootPath}/\xff\xfe/f`, 'latin1'), 'bytes');
});
afterAll(() => closeSync(root));

/** What a path leads to: a file's content, `directory`, or the errno's name. */
function outcome(resolver: Resolver, path: string, flags: number = O_RDONLY, o: BeneathOptions = {}): string {
  let fd = -1;
  const code = codeOf(() => {
    fd = resolver.open(root, path, flags, 0o644, o);
  });
  if (code !== 'none') return code;
  try {
    return (fstat(fd).mode & 0o170000) === 0o040000
      ? 'directory'
      : readFileSync(`/proc/self/fd/${fd}`, 'utf8');
  } finally {
    closeSync(fd);
  }
}

const resolvers: readonly Resolver[] = [
  createResolver({ openat2: true }),
  createResolver({ openat2: false }),
];

describe.each(resolvers)('the $method resolver', (resolver) => {
  describe('with symlinks confined', () => {
    it.each([
      ['a plain path', 'etc/passwd', 'etc/passwd'],
      ['an absolute path', '/etc/passwd', 'etc/passwd'],
      ['an absolute path that exists outside', join(scratch, 'secret'), 'ENOENT'],
      ['empty components and dots', './/etc/./passwd', 'etc/passwd'],
      ['the root by .', '.', 'directory'],
      ['the root by /', '/', 'directory'],
      ['the root by ///', '///', 'directory'],
      ['an empty path', '', 'ENOENT'],
      ['.. at the root', '..', 'directory'],
      ['.. chains that clamp at the root', '../../../../etc/passwd', 'etc/passwd'],
      ['.. chains from deep', 'usr/lib/../../../../etc/passwd', 'etc/passwd'],
      ['.. to a name that is only outside', '../secret', 'ENOENT'],
      ['.. through a file', 'file/../etc/passwd', 'ENOTDIR'],
      ['.. through nothing', 'nothing/../etc/passwd', 'ENOENT'],
      ['.. as last component', 'usr/lib/..', 'directory'],
      ['a symlink on the way', 'lib/a', 'usr/lib/a'],
      ['an absolute symlink on the way', 'abs/a', 'usr/lib/a'],
      ['a symlink with dots and slashes', 'dots/a', 'usr/lib/a'],
      ['a symlink to /', 'abs-root/etc/passwd', 'etc/passwd'],
      ['a symlink to an outside directory by its absolute path', 'out/secret', 'ENOENT'],
      ['a symlink of many ..', 'up/etc/passwd', 'etc/passwd'],
      ['a symlink of many .. to a name that is only outside', 'up/secret', 'ENOENT'],
      ['a symlink of many .. below a directory', 'usr/up/etc/passwd', 'etc/passwd'],
      ['a symlink to a sibling, through another', 'lib/sibling/passwd', 'etc/passwd'],
      ['.. after a symlink: of where it leads', 'lib/../lib/a', 'usr/lib/a'],
      ['a symlink as last component', 'lib', 'ELOOP'],
      ['a symlink to a file as last component', 'to-file', 'ELOOP'],
      ['a symlink and a slash', 'lib/', 'ENOTDIR'],
      ['a symlink and /.', 'lib/.', 'directory'],
      ['a symlink and /..', 'lib/..', 'directory'],
      ['a symlink to a file and /.', 'to-file/.', 'ENOTDIR'],
      ['a symlink to a file on the way', 'to-file/x', 'ENOTDIR'],
      ['a file and a slash', 'file/', 'ENOTDIR'],
      ['a file and /.', 'file/.', 'ENOTDIR'],
      ['a file on the way', 'file/x', 'ENOTDIR'],
      ['a directory and slashes', 'usr//', 'directory'],
      ['nothing', 'nothing', 'ENOENT'],
      ['a dangling symlink on the way', 'dangling/x', 'ENOENT'],
      ['a symlink to itself', 'loop/x', 'ELOOP'],
      ['two symlinks to one another', 'ping/x', 'ELOOP'],
      ['40 symlinks', 'chain40/a', 'usr/lib/a'],
      ['41 symlinks', 'chain41/a', 'ELOOP'],
      ['20 and 20 symlinks', 'chain20/../../chain20/a', 'usr/lib/a'],
      ['20 and 21 symlinks', 'chain20/../../chain21/a', 'ELOOP'],
      ['names of 255 bytes', `${LONGEST}/${LONGEST}`, `${LONGEST}/${LONGEST}`],
      ['a name of 256 bytes', `${LONGEST}n`, 'ENAMETOOLONG'],
      ['a name of 256 bytes on the way', `${LONGEST}n/x`, 'ENAMETOOLONG'],
      ['names that are not UTF-8', '\xff\xfe/f', 'bytes'],
      ['a symlink that is not UTF-8', '\xe9link/f', 'bytes'],
      ['200 directories deep', `${DEEP}/leaf`, `${DEEP}/leaf`],
      ['200 directories deep and back', `${DEEP}${'/..'.repeat(200)}/file`, 'file'],
      ['4095 bytes', `${'./'.repeat(2045)}/file`, 'file'],
      ['4096 bytes', `${'./'.repeat(2046)}file`, 'ENAMETOOLONG'],
      ['far over 4096 bytes', `${'x/'.repeat(50_000)}file`, 'ENAMETOOLONG'],
      ['a NUL', 'etc/pass\0wd', 'EINVAL'],
      ['a NUL on the way', 'e\0tc/passwd', 'EINVAL'],
      ['a char code that is no byte', 'Āx', 'EINVAL'],
      ['a link to a magic link, which is none below the root', 'magic/etc/passwd', 'ENOENT'],
    ])('%s', (_, path, expected) => {
      expect(outcome(resolver, path)).toBe(expected);
    });

    it.each(['self/root/etc/passwd', 'self/cwd/package.json', 'thread-self/root/etc', 'self/exe/x'])(
      'refuses the magic link of procfs in %s',
      (path) => {
        const proc = openSync('/proc', O_PATH | O_DIRECTORY);
        try {
          expect(codeOf(() => closeSync(resolver.open(proc, path, O_PATH)))).toBe('ELOOP');
        } finally {
          closeSync(proc);
        }
      },
    );

    it('opens a symlink itself with O_PATH', () => {
      const fd = resolver.open(root, 'abs', O_PATH);
      expect(fstat(fd).mode & 0o170000).toBe(0o120000);
      closeSync(fd);
    });

    it('creates a file below a symlink’s target, with the mode given, and never through a symlink as last component', () => {
      const fd = resolver.open(root, `abs/new-${resolver.method}`, O_CREAT | O_EXCL | O_WRONLY, 0o600);
      expect(fstat(fd).mode & 0o777).toBe(0o600);
      closeSync(fd);
      expect(readdirSync(join(rootPath, 'usr/lib'))).toContain(`new-${resolver.method}`);
      expect(outcome(resolver, 'dangling', O_CREAT | O_WRONLY)).toBe('ELOOP');
      expect(outcome(resolver, 'dangling', O_CREAT | O_EXCL | O_WRONLY)).toBe('EEXIST');
      expect(outcome(resolver, 'created/', O_CREAT | O_WRONLY)).toBe('EISDIR');
      expect(readdirSync(rootPath)).not.toContain('nowhere');
      expect(readdirSync(rootPath)).not.toContain('created');
    });

    it('ignores a mode without O_CREAT', () => {
      closeSync(resolver.open(root, 'file', O_RDONLY, 0o644));
    });
  });

  describe('with symlinks refused', () => {
    it.each([
      ['a plain path', 'etc/passwd', 'etc/passwd'],
      ['.. that stays below', 'usr/../etc/passwd', 'etc/passwd'],
      ['.. back to the root', 'usr/..', 'directory'],
      ['.. above the root', '..', 'EXDEV'],
      ['.. above the root and back', '../root/file', 'EXDEV'],
      ['.. above the root from deep', 'usr/lib/../../../secret', 'EXDEV'],
      ['an absolute path', '/etc/passwd', 'EXDEV'],
      ['a symlink on the way', 'lib/a', 'ELOOP'],
      ['an absolute symlink on the way', 'abs/a', 'ELOOP'],
      ['a symlink and /.', 'lib/.', 'ELOOP'],
      ['a symlink as last component', 'lib', 'ELOOP'],
      ['a file on the way', 'file/x', 'ENOTDIR'],
    ])('%s', (_, path, expected) => {
      expect(outcome(resolver, path, O_RDONLY, { symlinks: 'refused' })).toBe(expected);
    });
  });

  it('goes deeper than there are descriptors, where there is no way back', () => {
    const script = `
      import { openSync } from 'node:fs';
      import { createResolver } from ${JSON.stringify(BUILT)};
      const resolver = createResolver({ openat2: ${resolver.method === 'openat2'} });
      const root = openSync(process.argv[1], 'r');
      resolver.open(root, process.argv[2], 0, 0, { symlinks: 'refused' });
      console.log('opened');
    `;
    const node = [process.execPath, '--input-type=module', '-e', script, rootPath, `${DEEP}/leaf`];
    expect(execFileSync('prlimit', ['--nofile=100', ...node], { encoding: 'utf8' })).toBe('opened\n');
  });

  it('leaves no descriptor open', () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    for (const path of [
      `${DEEP}/leaf`,
      'chain41/a',
      'file/x',
      'usr/lib/../../..',
      'loop/x',
      `${DEEP}/none/x`,
    ]) {
      outcome(resolver, path);
    }
    expect(open()).toBe(before);
  });

  it('reads nothing from outside while directories on the way are exchanged for symlinks that lead there', async () => {
    await race(resolver);
  });
});

describe('the default resolver', () => {
  it('is the kernel’s where there is openat2', () => {
    expect(defaultResolver().method).toBe(openat2Available() ? 'openat2' : 'portable');
    closeSync(openBeneath(root, '/etc/passwd', O_RDONLY));
  });
});

describe('both resolvers', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd');
  const step = fc.oneof({ weight: 6, arbitrary: name }, fc.constantFrom('..', '.', ''));
  const path = fc
    .tuple(fc.constantFrom('', '/'), fc.array(step, { minLength: 1, maxLength: 6 }))
    .map(([start, parts]) => start + parts.join('/'));
  const place = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const entry = fc.oneof(
    fc.record({ at: place, kind: fc.constant('directory' as const) }),
    fc.record({ at: place, kind: fc.constant('file' as const) }),
    fc.record({ at: place, kind: fc.constant('symlink' as const), target: path }),
  );

  it('agree on random trees and random paths', () => {
    const resolve = (resolver: Resolver, rootfd: number, wanted: string, o: BeneathOptions): string => {
      let found = '';
      const code = codeOf(() => {
        const fd = resolver.open(rootfd, wanted, O_PATH, 0, o);
        found = String(fstat(fd).ino);
        closeSync(fd);
      });
      return code === 'none' ? found : code;
    };
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 12 }),
        fc.array(path, { minLength: 5, maxLength: 20 }),
        (tree, paths) => {
          const directory = mkdtempSync(join(tmpdir(), 'landfall-beneath-'));
          const rootfd = openSync(directory, O_PATH | O_DIRECTORY);
          try {
            for (const node of tree) grow(directory, node);
            for (const wanted of paths) {
              for (const symlinks of ['confined', 'refused'] as const) {
                const [kernel, portable] = resolvers.map((resolver) =>
                  resolve(resolver, rootfd, wanted, { symlinks }),
                );
                expect(portable, `${symlinks} ${wanted}`).toBe(kernel);
                seen.add(kernel?.startsWith('E') === true ? kernel : 'found');
              }
            }
          } finally {
            closeSync(rootfd);
            rmSync(directory, { recursive: true });
          }
        },
      ),
      { numRuns: 150 },
    );
    expect([...seen].sort()).toEqual(
      expect.arrayContaining(['ELOOP', 'ENOENT', 'ENOTDIR', 'EXDEV', 'found']),
    );
  });

  function grow(
    directory: string,
    node: { at: string; kind: 'directory' | 'file' | 'symlink'; target?: string },
  ): void {
    try {
      if (node.kind === 'directory') mkdirSync(join(directory, node.at), { recursive: true });
      else if (node.kind === 'file') writeFileSync(join(directory, node.at), '');
      else symlinkSync(node.target ?? '', join(directory, node.at));
    } catch {
      // A name that is taken, or whose parent is no directory: the tree is random.
    }
  }
});

/** Runs in a worker: exchanges and moves until it is told to stop. */
const MOVER = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.module).then(({ renameat, renameat2, RENAME_EXCHANGE }) => {
    parentPort.postMessage('started');
    const { outside, inside, stop } = workerData;
    while (Atomics.load(stop, 0) === 0) {
      renameat2(inside, 'real', inside, 'link', RENAME_EXCHANGE);
      renameat2(inside, 'real', inside, 'link', RENAME_EXCHANGE);
      renameat(inside, 'moving/deep', outside, 'moved');
      renameat(outside, 'moved', inside, 'moving/deep');
    }
  });
`;

/**
 * Another thread exchanges a directory with a symlink that leads outside, and moves a directory out of the
 * root and back; meanwhile both are walked through. Every answer may be had, but for the sentinel.
 */
async function race(resolver: Resolver): Promise<void> {
  const arena = mkdtempSync(join(scratch, 'race-'));
  for (const directory of ['root/real/deep', 'root/moving/deep', 'deep']) {
    mkdirSync(join(arena, directory), { recursive: true });
  }
  for (const file of ['root/real/deep/f', 'root/moving/f']) writeFileSync(join(arena, file), 'inside');
  for (const file of ['deep/f', 'f']) writeFileSync(join(arena, file), SENTINEL);
  symlinkSync(arena, join(arena, 'root/link'));
  const outside = openSync(arena, O_PATH | O_DIRECTORY);
  const inside = openSync(join(arena, 'root'), O_PATH | O_DIRECTORY);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const module = pathToFileURL(join(import.meta.dirname, '../../dist/src/system/index.js')).href;
  const mover = new Worker(MOVER, { eval: true, workerData: { module, outside, inside, stop } });
  try {
    await once(mover, 'message');
    const seen = new Set<string>();
    for (let i = 0; i < 3_000; i++) {
      for (const path of ['real/deep/f', 'link/deep/f', 'moving/deep/../f', 'moving/deep/../../moving/f']) {
        seen.add(contentOf(resolver, inside, path));
      }
    }
    expect(seen).not.toContain(SENTINEL);
    expect(seen).toContain('inside');
    expect(seen).toContain('ENOENT');
    // The kernel's answer to `..` amid renames, which is to try again.
    expect(seen).not.toContain('EAGAIN');
  } finally {
    Atomics.store(stop, 0, 1);
    await once(mover, 'exit');
    closeSync(inside);
    closeSync(outside);
  }
}

function contentOf(resolver: Resolver, rootfd: number, path: string): string {
  let text = '';
  const code = codeOf(() => {
    const fd = resolver.open(rootfd, path, O_RDONLY);
    text = readFileSync(fd, 'utf8');
    closeSync(fd);
  });
  return code === 'none' ? text : code;
}
