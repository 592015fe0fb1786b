import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { main } from '../../../src/cli/main.js';
import { digestOf, MEDIA_TYPES } from '../../../src/spec/index.js';
import { copy } from '../../../src/transfer/copy/copy.js';
import { CopySession } from '../../../src/transfer/copy/copy-session.js';
import { LayoutDestination } from '../../../src/transfer/transports/layout-destination.js';
import { addImage } from '../../support/memory-images.js';
import { MemoryTransport } from '../../support/memory-transport.js';
import { CapturedStream, FakeSignals, fakeSurroundings } from '../fake-surroundings.js';

/** Writes a layout that has `src.lan/team/app` with these tags, an image each. */
async function layoutWith(directory: string, tags: readonly string[]): Promise<void> {
  const repository = new MemoryTransport('src.lan').repository('src.lan/team/app');
  await using layout = await LayoutDestination.open(directory);
  const session = new CopySession();
  for (const tag of tags) {
    addImage(repository, { tag, layers: ['base', tag] });
    await copy(repository, layout.repository(repository.name), { from: tag, tag, platforms: 'all' }, session);
  }
  await layout.finish();
}

describe('sync', () => {
  let work: string;
  let mirror: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-sync-command-'));
    await layoutWith(join(work, 'source'), ['1', '2']);
  });
  beforeEach(async () => {
    mirror = await mkdtemp(join(work, 'mirror-'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  interface Ran {
    readonly code: number;
    readonly out: string;
    readonly err: string;
  }

  /** Runs it on a file that mirrors the source to a layout of this test. */
  async function run(
    args: readonly string[],
    o: { stdin?: string; isTTY?: boolean; file?: string } = {},
  ): Promise<Ran> {
    const file = join(work, 'mirror.yaml');
    await writeFile(file, o.file ?? `sources: [{ from: "oci:source" }]\ndestinations: ["oci:${mirror}"]\n`);
    const stderr = new CapturedStream(o.isTTY === true ? { isTTY: true, columns: 200, rows: 50 } : {});
    const around = fakeSurroundings({ stderr, ...(o.stdin === undefined ? {} : { stdin: o.stdin }) });
    if (o.isTTY === true) Object.assign(around.stdin, { isTTY: true });
    const argv = ['sync', '-f', file, '--root', join(work, 'root'), ...args];
    const code = await main(argv, around, new FakeSignals());
    return { code, out: around.stdout.text, err: stderr.text };
  }

  test('prints what was copied, and then that all is there', async () => {
    const first = await run([]);
    expect(first.code).toBe(0);
    expect(first.out).toMatch(/^IMAGE +DESTINATION +WHAT +SIZE +DIGEST\n/);
    expect(first.out).toMatch(
      /oci:.*source:src\.lan\/team\/app:1 +src\.lan\/team\/app:1 +copied +\d+ B +[0-9a-f]{12}\n/,
    );
    expect(first.out).toMatch(/\n2 images: 2 copied \(\d\.\d kB\)\n$/);
    expect(first.err).toContain('2 images in 1 repository');
    expect(first.err).toMatch(/\[2\/2\] copied /);
    expect(await run([])).toMatchObject({ code: 0, out: '2 images: 2 already there\n' });
  });

  test.each(['oci-archive:big.tar', 'oci:big', 'store'])(
    'refuses what has no room in %s once for all images, before it reads a layer',
    async (to) => {
      await using layout = await LayoutDestination.open(join(work, 'large'));
      const repository = layout.repository('src.lan/team/large');
      for (const tag of ['1', '2', '3']) {
        const layer = { mediaType: MEDIA_TYPES.ociLayer, digest: digestOf(Buffer.from(tag)), size: 2 ** 50 };
        const bytes = Buffer.from(
          JSON.stringify({
            ...{ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest },
            ...{ config: { ...layer, mediaType: MEDIA_TYPES.ociConfig, size: 10 }, layers: [layer] },
          }),
        );
        const manifest = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(bytes), size: bytes.length };
        await repository.put(manifest, () => Promise.resolve(Readable.from([bytes])), { tag });
      }
      const { code, err } = await run(
        ['--to', to.replace('big', join(mirror, 'big')), '--root', join(mirror, 'root')],
        {
          file: 'sources: [{ from: "oci:large" }]\n',
        },
      );
      expect(code).toBe(8);
      expect(err.match(/^landfall: .*/gm)).toEqual([
        expect.stringMatching(/PB.*, and only [\d.]+ [kMGT]B are free/),
      ]);
    },
  );

  test('as JSON, as docs/json-output.md tells it, and the same in a report', async () => {
    const report = join(mirror, '..', 'report.json');
    const { out } = await run(['--output', 'json', '--report', report]);
    const page = readFileSync('docs/json-output.md', 'utf8');
    const section = page.split(/^## /m).find((text) => text.startsWith('sync\n'));
    const documented = JSON.parse(/```json\n([\s\S]*?)```/.exec(section ?? '')?.[1] ?? '') as Record<
      string,
      unknown
    >;
    const shown = JSON.parse(out) as Record<string, unknown>;
    expect(JSON.parse(await readFile(report, 'utf8'))).toEqual(shown);
    expect(Object.keys(shown)).toEqual(Object.keys(documented));
    expect(Object.keys(shown['totals'] as object)).toEqual(Object.keys(documented['totals'] as object));
    const [image] = shown['images'] as [{ contents: [object] }];
    const [wanted] = documented['images'] as [{ contents: [object] }];
    expect(Object.keys(image)).toEqual(Object.keys(wanted));
    expect(Object.keys(image.contents[0])).toEqual(Object.keys(wanted.contents[0]));
  });

  test('a second report keeps what the first tells of images that did not change', async () => {
    const report = join(mirror, '..', 'kept.json');
    await run(['--report', report]);
    await run(['--report', report]);
    const { images } = JSON.parse(await readFile(report, 'utf8')) as {
      images: { outcome: string; contents: { outcome: string }[] }[];
    };
    expect(images.map(({ outcome }) => outcome)).toEqual(['exists', 'exists']);
    expect(images[0]?.contents.map(({ outcome }) => outcome).sort()).toEqual([
      'exists',
      'known',
      'known',
      'known',
    ]);
  });

  test('a report does not take the place of another file', async () => {
    const { code, err } = await run(['--report', join(work, 'mirror.yaml')]);
    expect(code).toBe(2);
    expect(err).toContain('is not JSON');
    expect(await readFile(join(work, 'mirror.yaml'), 'utf8')).toContain('sources:');
  });

  test('tells all that is wrong in the file, each with its line', async () => {
    const { code, err } = await run([], { file: 'sources: []\ndestination: []\n' });
    expect(code).toBe(2);
    expect(err).toMatch(
      /mirror\.yaml:1:10: sources is empty\n {2}hint: .*\n.*mirror\.yaml:2:1: there is no key "destination"\n {2}hint: Did you mean "destinations"\?\n$/,
    );
  });

  test('tells progress as JSON, an event a line', async () => {
    const { err } = await run(['--progress', 'json']);
    const events = err
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; done?: number });
    expect(events[0]).toEqual({ type: 'planned', destination: `oci:${mirror}`, images: 2, repositories: 1 });
    expect(events.filter(({ type }) => type === 'synced').map(({ done }) => done)).toEqual([1, 2]);
    expect(events.some(({ type }) => type === 'content')).toBe(true);
  });

  test('--progress none says nothing', async () => {
    expect((await run(['--progress', 'none'])).err).toBe('');
  });

  test.each<[string, string[], string]>([
    ['--yes without --prune', ['--yes'], '--yes is for --prune'],
    ['--prune where nobody can be asked', ['--prune'], '--prune would ask, and there is no terminal'],
    ['--scoped without --to', ['--scoped'], '--scoped is for destinations that --to names'],
    ['a shard that is none', ['--shard', '3/3'], '--shard 3/3: this is no shard'],
    ['a report that is not there', ['--since', '/proc/none.json'], '/proc/none.json is not there'],
    [
      'a delta to a registry',
      ['--to', 'docker://dst.lan', '--since', 'REPORT'],
      'a delta cannot go to docker://dst.lan',
    ],
    ['a destination that is none', ['--to', 'dst.lan'], 'dst.lan is no place'],
  ])('refuses %s', async (_name, args, message) => {
    const report = join(work, 'since.json');
    await writeFile(report, '{"images":[]}');
    const { code, out, err } = await run(args.map((arg) => arg.replace('REPORT', report)));
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(message);
  });

  test('refuses a file that is not there', async () => {
    const around = fakeSurroundings();
    expect(await main(['sync', '-f', '/proc/none.yaml'], around, new FakeSignals())).toBe(2);
    expect(around.stderr.text).toContain('/proc/none.yaml cannot be read (ENOENT)');
  });

  test('reads the file from standard input', async () => {
    const stdin = `sources: [{ from: "oci:${join(work, 'source')}" }]\ndestinations: ["oci:${mirror}"]\n`;
    const around = fakeSurroundings({ stdin });
    expect(await main(['sync', '-f', '-'], around, new FakeSignals())).toBe(0);
    expect(around.stdout.text).toContain('2 images: 2 copied');
  });

  describe('--prune', () => {
    beforeEach(() => layoutWith(mirror, ['1', '2', 'old']));

    test.each([
      ['y\n', ['src.lan/team/app:1', 'src.lan/team/app:2'], /1 tag deleted\n$/],
      ['n\n', ['src.lan/team/app:1', 'src.lan/team/app:2', 'src.lan/team/app:old'], /2 already there\n$/],
      ['\n', ['src.lan/team/app:1', 'src.lan/team/app:2', 'src.lan/team/app:old'], /2 already there\n$/],
    ])('asks at a terminal, where %j is the answer', async (stdin, left, out) => {
      const ran = await run(['--prune'], { stdin, isTTY: true });
      expect(ran.err).toMatch(/TO DELETE +DIGEST\n.*:old +[0-9a-f]{12}\n/);
      expect(ran.err).toContain('Delete 1 tag? [y/N] ');
      expect(ran.code).toBe(0);
      expect(ran.out).toMatch(out);
      expect(await namesIn(mirror)).toEqual(left);
    });

    test('does not ask with --yes', async () => {
      const ran = await run(['--prune', '--yes']);
      expect(ran.err).toMatch(/TO DELETE/);
      expect(ran.err).not.toContain('[y/N]');
      expect(await namesIn(mirror)).toEqual(['src.lan/team/app:1', 'src.lan/team/app:2']);
    });

    test('only says what it would delete with --dry-run', async () => {
      const ran = await run(['--prune', '--dry-run']);
      expect(ran.out).toMatch(/would delete oci:.*:src\.lan\/team\/app:old \([0-9a-f]{12}\)\n/);
      expect(ran.out).toMatch(/1 tag to delete\n$/);
      expect((await namesIn(mirror)).length).toBe(3);
    });
  });

  test('--dry-run makes no layout, archive or store', async () => {
    const to = [
      '--to',
      `oci:${join(mirror, 'x')}`,
      '--to',
      `oci-archive:${join(mirror, 'y.tar')}`,
      '--to',
      'store',
    ];
    const ran = await run([...to, '--dry-run']);
    expect(ran.out).toMatch(/6 images: \d to copy .*\n$/);
    for (const path of [join(mirror, 'x'), join(mirror, 'y.tar'), join(work, 'root')])
      await expect(readFile(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('a source that is not there is told, and nothing else stops', async () => {
    const file = `sources: [{ from: "oci:none" }, { from: store }, { from: "oci:source" }]\ndestinations: ["oci:${mirror}"]\n`;
    const ran = await run([], { file });
    expect(ran.out).toContain('2 images: 2 copied');
    expect(ran.err).toMatch(/landfall: .*none/);
    expect(ran.err).toMatch(/landfall: .*there is no store at/);
    expect(ran.code).toBe(3);
  });
});

/** The names in a layout's index. */
async function namesIn(directory: string): Promise<string[]> {
  const { manifests } = JSON.parse(await readFile(join(directory, 'index.json'), 'utf8')) as {
    manifests: { annotations?: Record<string, string> }[];
  };
  return manifests
    .map(
      ({ annotations = {} }) =>
        annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'] ?? '',
    )
    .sort();
}
