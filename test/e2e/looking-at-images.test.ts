import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../src/spec/index.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { type CommandResult, peerOutput } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { isRoot } from '../support/needs-root.js';
import { archive, directory, file, hardLink, symlink } from '../support/tar-builder.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { landfall } from '../support/warm-command.js';

const FIXTURE = 'oci:fixtures/image';
const LAYERS = [
  archive(
    directory('usr'),
    directory('usr/bin'),
    file('usr/bin/dash', 'shell'),
    symlink('usr/bin/sh', 'dash'),
    symlink('bin', 'usr/bin'),
    file('etc/base', 'base'),
  ),
  archive(file('etc/middle', 'middle'), hardLink('etc/linked', 'etc/base'), file('opt/below', 'hidden')),
  archive(
    file('etc/top', 'top'),
    directory('opt'),
    file('opt/.wh..wh..opq'),
    file('opt/new', 'new'),
    file('etc/.wh.gone'),
  ),
];

describe.skipIf(needsPeer('docker-registry', 'skopeo') !== undefined)('an image at a registry', () => {
  let work: string;
  let registry: DockerRegistry;
  let layout: TinyLayout;
  let other: TinyLayout;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-looking-'));
    registry = await startDockerRegistry();
    layout = await makeTinyLayout(join(work, 'one'), { tag: 'app', layers: LAYERS });
    const changed = archive(
      file('etc/top', 'TOP'),
      directory('opt'),
      file('opt/.wh..wh..opq'),
      file('opt/new', 'new'),
      file('etc/.wh.gone'),
    );
    other = await makeTinyLayout(join(work, 'two'), { tag: 'app', layers: [...LAYERS.slice(0, 2), changed] });
    for (const name of ['one', 'two']) {
      const to = `docker://${registry.address}/team/app:${name}`;
      await peerOutput('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${work}/${name}:app`, to]);
    }
  });
  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  /** What a command writes, and the numbers of the layers of `one` that it fetched, in order. */
  async function look(
    args: readonly string[],
    root = 'none',
  ): Promise<CommandResult & { fetched: number[] }> {
    const before = (await registry.accessLog()).length;
    const result = await landfall(['--plain-http', '--root', join(work, root), ...args], {
      env: { TMPDIR: work },
    });
    const lines = (await registry.accessLog()).slice(before);
    const digests = lines.flatMap(
      (line) => /"GET \/v2\/team\/app\/blobs\/(sha256:[0-9a-f]{64}) /.exec(line)?.[1] ?? [],
    );
    const layers: readonly string[] = layout.manifests[0].layers.map(({ digest }) => digest);
    const fetched = digests.map((digest) => layers.indexOf(digest)).filter((at) => at >= 0);
    return { ...result, fetched };
  }
  const image = (tag = 'one'): string => `docker://${registry.address}/team/app:${tag}`;

  test.each<[args: string[], out: string, fetched: number[]]>([
    [['cat', '/etc/top'], 'top', [2]],
    [['cat', '/opt/new'], 'new', [2]],
    [['cat', '/etc/middle'], 'middle', [2, 1]],
    [['cat', '/bin/sh'], 'shell', [2, 1, 0]],
    [['cat', '/etc/linked'], 'base', [2, 1, 0]],
    [['ls', '/opt'], 'new\n', [2]],
    [['ls', '/etc'], 'base\nlinked\nmiddle\ntop\n', [2, 1, 0]],
    [['ls', '-d', '/etc/top'], '/etc/top\n', [2]],
  ])('%j fetches the layers that it must, each once', async ([command = '', ...args], out, fetched) => {
    const path = args.pop() ?? '';
    const seen = await look([command, ...args, image(), path]);
    expect(seen.stderr).toBe('');
    expect({ code: seen.code, out: seen.stdout, fetched: seen.fetched }).toEqual({ code: 0, out, fetched });
    expect((await readdir(work)).sort()).toEqual(['one', 'two']);
  });

  test('is inspected and drawn by its documents alone', async () => {
    for (const command of ['inspect', 'tree']) {
      const { code, stdout, fetched } = await look([command, image()]);
      expect({ code, fetched }).toEqual({ code: 0, fetched: [] });
      for (const { digest } of layout.manifests[0].layers) expect(stdout).toContain(digest);
    }
    const { stdout } = await look(['inspect', '--raw', image()]);
    expect(stdout).toBe(String(layout.blobs.get(layout.target.digest)));
  });

  test('is compared by the layers in which it differs', async () => {
    const same = await look(['diff', '--exit-code', image(), image()]);
    expect({ code: same.code, out: same.stdout, fetched: same.fetched }).toEqual({
      code: 0,
      out: 'no differences\n',
      fetched: [],
    });
    const { code, stdout, fetched } = await look(['diff', '--exit-code', image('one'), image('two')]);
    expect({ code, fetched }).toEqual({ code: 1, fetched: [2] });
    expect(stdout).toBe('M  /etc/top  content  3 B\n1 changed\n');
  });

  test('shows one layer alone, and an image by its digest', async () => {
    const [, layer] = layout.manifests[0].layers;
    const one = await look(['ls', '-R', `${image()}@${layer?.digest ?? ''}`]);
    expect({ code: one.code, fetched: one.fetched }).toEqual({ code: 0, fetched: [1] });
    expect(one.stdout).toBe('/etc\n/etc/linked\n/etc/middle\n/opt\n/opt/below\n');
    const { digest } = layout.manifests[0].manifest;
    expect(await look(['cat', `${image()}@${digest}`, '/etc/top'])).toMatchObject({ code: 0, stdout: 'top' });
  });

  test('gives its blobs, documents and others', async () => {
    const [{ manifest, config, layers }] = layout.manifests;
    for (const { digest } of [manifest, config, ...layers]) {
      const target = join(work, 'blob');
      expect(
        (await look(['blob', `docker://${registry.address}/team/app@${digest}`, '-o', target])).code,
      ).toBe(0);
      expect(digestOf(await readFile(target))).toBe(digest);
      await rm(target);
    }
    expect(other.target.digest).not.toBe(layout.target.digest);
  });

  test('is not fetched where the store has it, be it only unpacked', async () => {
    const root = 'store';
    const name = `${registry.address}/team/app:one`;
    try {
      expect((await look(['pull', '-q', name], root)).code).toBe(0);
      expect(await look(['ls', image(), '/etc'], root)).toMatchObject({ code: 0, fetched: [] });
      const whole = await look(['ls', '-lR', image(), '/'], root);
      expect((await look(['pull', '-q', '--discard-layers', name], root)).code).toBe(0);
      for (const source of [image(), name]) {
        expect(await look(['cat', source, '/bin/sh'], root)).toMatchObject({
          code: 0,
          stdout: 'shell',
          fetched: [],
        });
        const unpacked = await look(['ls', '-lR', source, '/'], root);
        expect(unpacked.fetched).toEqual([]);
        // As another user everything is that one's own; and of directories that no layer lists the disk has a
        // time.
        const plain = (text: string): string[] =>
          text.split('\n').map((line) => line.replace(/^(.{10}) .* {2}\//, '$1 /'));
        expect(plain(unpacked.stdout)).toEqual(plain(whole.stdout));
        expect(await look(['diff', source, `oci:${work}/one`], root)).toMatchObject({ fetched: [] });
      }
      if (isRoot) {
        const { stdout } = await look(['diff', name, `oci:${work}/one`], root);
        expect(stdout).toBe('no differences\n');
      }
    } finally {
      await rm(join(work, root), { recursive: true, force: true });
    }
  });
});

describe.skipIf(needsPeer('umoci', 'skopeo') !== undefined || !isRoot)('what umoci unpacks', () => {
  test('is what ls lists and cat writes', async () => {
    const work = await mkdtemp(join(tmpdir(), 'landfall-umoci-'));
    try {
      await peerOutput('umoci', [
        'raw',
        'unpack',
        '--image',
        await oneOf(FIXTURE, work),
        join(work, 'bundle'),
      ]);
      const root = join(work, 'bundle');
      const shown = (await landfall(['ls', '-R', '-0', FIXTURE])).stdout.split('\0').slice(0, -1).sort();
      const found = (await peerOutput('find', [root, '-mindepth', '1', '-printf', '/%P\\0']))
        .split('\0')
        .slice(0, -1);
      expect(shown).toEqual(found.sort());
      const files = (await peerOutput('find', [root, '-type', 'f', '-printf', '/%P\\0']))
        .split('\0')
        .slice(0, -1);
      for (const path of files.slice(0, 8)) {
        expect((await landfall(['cat', FIXTURE, path])).stdout, path).toBe(
          await readFile(join(root, path), 'utf8'),
        );
      }
      const { stdout } = await landfall(['ls', '-l', '-R', FIXTURE]);
      const modes = (await peerOutput('find', [root, '-mindepth', '1', '-printf', '%M %U:%G /%P\\n'])).split(
        '\n',
      );
      const ours = stdout
        .split('\n')
        .map((line) => line.replace(/ -> .*$/, '').replace(/^(\S+) +(\S+) .* (\/.*)$/, '$1 $2 $3'));
      expect(ours.sort()).toEqual(modes.sort());
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  });
});

/** A layout as umoci can read it: one manifest by its name, and no layer compressed with zstd. */
async function oneOf(source: string, work: string): Promise<string> {
  const [plain, single] = [`docker-archive:${join(work, 'plain.tar')}:app:1`, join(work, 'single')];
  await peerOutput('skopeo', ['copy', '-q', source, plain]);
  await peerOutput('skopeo', ['copy', '-q', plain.replace(/:app:1$/, ''), `oci:${single}:app`]);
  return `${single}:app`;
}
