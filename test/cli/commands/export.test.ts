import { execFile } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { main } from '../../../src/cli/main.js';
import { listArchive } from '../../support/archive-listing.js';
import { peerOutput } from '../../support/landfall-command.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';
import { removeTree } from '../../support/unpack-fixture.js';
import { CapturedStream, FakeSignals, fakeSurroundings } from '../fake-surroundings.js';

let work: string;
let layout: TinyLayout;
let source: string;
let out: string;

beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-export-'));
  for (const name of ['layout', 'out']) await mkdir(join(work, name));
  layout = await makeTinyLayout(join(work, 'layout'));
  source = `oci:${join(work, 'layout')}`;
  out = join(work, 'out');
});
afterEach(() => removeTree(work));

interface Exported {
  readonly code: number;
  readonly bytes: Buffer;
  readonly err: string;
}

async function run(
  args: readonly string[],
  stdout: CapturedStream = new CapturedStream(),
): Promise<Exported> {
  const chunks: Buffer[] = [];
  stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const surroundings = fakeSurroundings({ env: { HOME: '/nonexistent' }, stdout });
  const argv = ['export', '--progress', 'none', source, ...args];
  const code = await main(argv, surroundings, new FakeSignals());
  return { code, bytes: Buffer.concat(chunks), err: surroundings.stderr.text };
}

/** Breaks a blob of the upper layer, which is found when the lower one was read. */
async function damage(): Promise<void> {
  const digest = layout.manifests[0].layers.at(-1)?.digest ?? '';
  const blob = join(work, 'layout/blobs', ...digest.split(':'));
  const bytes = await readFile(blob);
  bytes[bytes.length - 6] = (bytes.at(-6) ?? 0) ^ 1;
  await chmod(blob, 0o644);
  await writeFile(blob, bytes);
}

const paths = (tar: Buffer): string[] => Object.keys(listArchive(tar)).sort();
const PATHS = ['', 'bin', 'bin/hail', 'etc', 'etc/harbour', 'etc/manifest'];

describe('landfall export', () => {
  test.each<[name: string, args: string[]]>([
    ['without a file', []],
    ['for the file -', ['-o', '-']],
  ])('writes the tar, and nothing else, to standard output %s', async (_, args) => {
    const { code, bytes, err } = await run([...args, '--output', 'json']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(paths(bytes)).toEqual(PATHS);
  });

  test('writes the same to a file, and says so', async () => {
    const { bytes: tar } = await run([]);
    const { code, bytes, err } = await run(['-o', join(out, 'image.tar')]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(bytes.toString()).toBe(
      `exported ${source} (linux/amd64, 2 layers) to ${join(out, 'image.tar')}\n`,
    );
    expect(await readFile(join(out, 'image.tar'))).toEqual(tar);
    expect(await readdir(out)).toEqual(['image.tar']);
  });

  test('answers in JSON where the tar goes to a file', async () => {
    const { bytes } = await run(['--file', join(out, 'image.tar'), '--output', 'json']);
    const [{ manifest, config, layers, diffIds }] = layout.manifests;
    expect(JSON.parse(bytes.toString())).toMatchObject({
      name: source,
      digest: manifest.digest,
      imageId: config.digest,
      platform: 'linux/amd64',
      layers: layers.map(({ digest, size }, i) => ({ digest, size, diffId: diffIds[i] })),
      file: join(out, 'image.tar'),
      size: (await lstat(join(out, 'image.tar'))).size,
    });
  });

  test('takes the place of a file when it is whole, also through a symlink', async () => {
    await writeFile(join(out, 'image.tar'), 'old');
    await symlink('image.tar', join(out, 'link'));
    expect((await run(['-o', join(out, 'link')])).code).toBe(0);
    expect(paths(await readFile(join(out, 'image.tar')))).toEqual(PATHS);
    expect((await readdir(out)).sort()).toEqual(['image.tar', 'link']);
    expect((await lstat(join(out, 'link'))).isSymbolicLink()).toBe(true);
  });

  test('leaves what was there when it fails, and nothing else', async () => {
    await writeFile(join(out, 'old.tar'), 'old');
    await damage();
    for (const name of ['old.tar', 'new.tar']) {
      const { code, err } = await run(['-o', join(out, name)]);
      expect(code).toBe(6);
      expect(err).toMatch(/reads as sha256/);
    }
    expect(await readdir(out)).toEqual(['old.tar']);
    expect(await readFile(join(out, 'old.tar'), 'utf8')).toBe('old');
  });

  test('writes not a byte to standard output of an image that does not verify', async () => {
    await damage();
    const { code, bytes } = await run([]);
    expect([code, bytes.length]).toEqual([6, 0]);
  });

  test('writes into a pipe that has a name', async () => {
    const pipe = join(out, 'pipe');
    await peerOutput('mkfifo', [pipe]);
    const reader = execFile('cat', [pipe], { encoding: 'buffer' });
    if (reader.stdout === null) throw new Error('cat has no output');
    const [read, { code }] = await Promise.all([buffer(reader.stdout), run(['-o', pipe])]);
    expect(code).toBe(0);
    expect(paths(read)).toEqual(PATHS);
    expect((await lstat(pipe)).isFIFO()).toBe(true);
  });

  test('leaves a device a device', async () => {
    expect((await run(['-o', '/dev/null'])).code).toBe(0);
    expect((await lstat('/dev/null')).isCharacterDevice()).toBe(true);
  });

  test.each<[name: string, args: () => string[], code: number, message: RegExp]>([
    ['a directory', () => ['-o', out], 2, /is a directory/],
    ['a file in a directory that is not there', () => ['-o', join(out, 'no/x')], 8, /could not be written/],
    ['a device that is full', () => ['-o', '/dev/full'], 8, /could not be written/],
  ])('is refused for %s', async (_, args, code, message) => {
    const result = await run(args());
    expect(result.code).toBe(code);
    expect(result.err).toMatch(message);
    expect(await readdir(out)).toEqual([]);
  });

  test('is refused for a terminal', async () => {
    const { code, bytes, err } = await run([], new CapturedStream({ isTTY: true }));
    expect([code, bytes.length]).toEqual([2, 0]);
    expect(err).toMatch(/terminal/);
  });
});
