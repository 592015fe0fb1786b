import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEBIAN_IMAGE_PEERS, type ServedDebianImage, serveDebianImage } from '../support/debian-image.js';
import { LANDFALL, peerOutput, runCommand } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { listTree, withoutUnlistedTimes } from '../support/tree-listing.js';
import { UnprivilegedUser } from '../support/unprivileged-user.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const reason = needsPeer('docker-registry', 'bsdtar', ...DEBIAN_IMAGE_PEERS);

/**
 * A real image as one tar, held against the tree that `landfall unpack` makes, which other tests hold against
 * umoci's.
 */
describe.skipIf(reason !== undefined)('a Debian image that is exported', () => {
  let work: string;
  let image: ServedDebianImage;
  let root: string;
  let tar: string;
  let expected: string[];

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-export-'));
    image = await serveDebianImage();
    root = join(work, 'root');
    tar = join(work, 'image.tar');
    await landfallJson(['--root', root, 'pull', '--no-unpack', image.reference]);
    const tree = join(work, 'tree');
    // It takes the mode of the image's root where it is there.
    await mkdir(tree);
    expect(await landfall(['--root', root, 'unpack', image.reference, tree])).toMatchObject({ code: 0 });
    expected = withoutUnlistedTimes(await listTree(tree), image.listed);
    await rm(tree, { recursive: true });
    expect(await landfall(['--root', root, 'export', '-o', tar, image.reference])).toMatchObject({ code: 0 });
  }, 300_000);

  afterAll(async () => {
    await image[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  /** What a program makes of the archive. */
  async function extracted(command: string, ...options: string[]): Promise<string[]> {
    const directory = join(work, command);
    await mkdir(directory);
    await peerOutput(command, [...options, '-C', directory, '-f', tar]);
    const listing = withoutUnlistedTimes(await listTree(directory), image.listed);
    await rm(directory, { recursive: true });
    return listing;
  }

  it('is by GNU tar the tree that it is unpacked as', async () => {
    const all = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '--same-permissions'];
    expect(await extracted('tar', '-x', ...all)).toEqual(expected);
  });

  it('is by bsdtar the tree that it is unpacked as', async () => {
    // It leaves the time of the directory itself alone.
    const below = (lines: string[]): string[] => lines.filter((line) => !line.startsWith('entry\t\t'));
    expect(below(await extracted('bsdtar', '-x', '-p', '--numeric-owner'))).toEqual(below(expected));
  });

  it('is the same bytes from a layout, for a user without privileges, to standard output', async () => {
    await using user = await UnprivilegedUser.start();
    const layout = join(user.directory, 'layout');
    await cp(image.layout, layout, { recursive: true });
    await peerOutput('chmod', ['-R', 'a+rX', layout]);
    const script = `${process.execPath} ${user.landfall} export --progress none oci:${layout}:trixie | cmp - "$1"`;
    const mine = join(user.directory, 'image.tar');
    await cp(tar, mine);
    expect(await user.run('sh', ['-c', script, 'sh', mine])).toMatchObject({
      code: 0,
      stdout: '',
      stderr: '',
    });
  });

  it('is no failure for a reader that has seen enough', async () => {
    const command = `${process.execPath} ${LANDFALL} --root ${root} export --progress none ${image.reference}`;
    const script = `{ ${command}; echo "ended with $?" >&2; } | head -c 100000 >/dev/null`;
    const { stderr } = await runCommand('sh', ['-c', script], {});
    expect(stderr).toBe('ended with 0\n');
  });

  it('stops at a signal while nobody reads it, and leaves no file behind', async () => {
    const args = [LANDFALL, '--root', root, 'export', '--progress', 'none', image.reference];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    await once(child.stdout, 'readable');
    child.kill('SIGTERM');
    child.stderr.resume();
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(143);
  });

  it('takes the place of a file only when it is whole', async () => {
    const directory = join(work, 'out');
    await mkdir(directory);
    const args = [
      LANDFALL,
      '--root',
      root,
      'export',
      '--progress',
      'json',
      '-o',
      join(directory, 'x'),
      image.reference,
    ];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let written = 0;
    for await (const text of child.stderr.setEncoding('utf8') as AsyncIterable<string>) {
      if (!text.includes('"committed"') || written > 0) continue;
      const [name = 'nothing'] = await readdir(directory);
      expect(name).not.toBe('x');
      written = (await stat(join(directory, name))).size;
      child.kill('SIGTERM');
    }
    expect(written).toBeGreaterThan(0);
    expect(await readdir(directory)).toEqual([]);
  });
});
