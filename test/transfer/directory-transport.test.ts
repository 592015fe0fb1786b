import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { DirectoryDestination, openDirectory } from '../../src/transfer/transports/directory-transport.js';
import { layoutRoots } from '../../src/transfer/verify/layout-roots.js';
import { verify } from '../../src/transfer/verify/verify.js';
import { run } from '../cli/commands/serve-lists.js';
import { needsPeer } from '../support/peers.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

const PLATFORMS = ['linux/amd64', 'linux/arm64'];
const hexOf = (digest: string): string => digest.slice(digest.indexOf(':') + 1);

describe('dir:', () => {
  let work: string;
  let several: TinyLayout;
  let single: TinyLayout;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-dir-'));
    several = await makeTinyLayout(join(work, 'several'), { platforms: PLATFORMS });
    single = await makeTinyLayout(join(work, 'single'), { layers: [[{ path: 'a', content: 'other' }]] });
  });
  afterAll(() => rm(work, { recursive: true }));

  const fresh = (): Promise<string> => mkdtemp(join(work, 'fresh-'));
  const copied = async (...words: string[]): Promise<void> => {
    const { code, err } = await run('--root', join(work, 'store'), '--progress', 'none', 'copy', ...words);
    expect([code, err]).toEqual([0, '']);
  };
  /** Bytes by name. */
  const filesOf = async (directory: string): Promise<Map<string, string>> => {
    const names = (await readdir(directory)).sort();
    const contents = await Promise.all(names.map((name) => readFile(join(directory, name), 'base64')));
    return new Map(names.map((name, at) => [name, contents[at] ?? '']));
  };

  test('holds one image whole: its blobs by their digits, and the manifests below an index', async () => {
    const directory = await fresh();
    await copied('--all', `oci:${several.dir}`, `dir:${directory}`);
    const expected = [...several.blobs.keys()]
      .filter((digest) => digest !== several.target.digest)
      .map((digest) => hexOf(digest));
    const names = (await readdir(directory)).map((name) => name.replace(/^(.+)\.manifest\.json$/, '$1'));
    expect(names.sort()).toEqual([...expected, 'manifest.json', 'version'].sort());
    const report = await verify(await layoutRoots(openDirectory(directory)), { diffIds: true });
    expect(report.faults).toEqual([]);
    expect((await openDirectory(directory).repository('').resolve(''))?.digest).toBe(several.target.digest);
  });

  test('is read back as it was, also by a policy for its path', async () => {
    const [directory, layout] = [await fresh(), await fresh()];
    await copied(`oci:${single.dir}`, `dir:${directory}`);
    await copied(`dir:${directory}`, `oci:${layout}:app`);
    const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
      manifests: { digest: string }[];
    };
    expect(index.manifests.map(({ digest }) => digest)).toEqual([single.target.digest]);
    const policy = join(work, 'policy.json');
    const transports = { dir: { [directory]: [{ type: 'reject' }] } };
    await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }], transports }));
    const refused = await run(
      ...['--root', join(work, 'store'), '--policy', policy],
      ...['copy', `dir:${directory}`, `oci:${layout}:b`],
    );
    expect([refused.code, refused.err]).toEqual([6, expect.stringContaining('reject')]);
  });

  test('takes another image in place of the one that it had, of which nothing stays', async () => {
    const [directory, other] = [await fresh(), await fresh()];
    await copied('--all', `oci:${several.dir}`, `dir:${directory}`);
    await writeFile(join(directory, 'signature-1'), 'of the first');
    await writeFile(join(directory, 'notes.txt'), 'mine');
    await copied(`oci:${single.dir}`, `dir:${directory}`);
    await copied(`oci:${single.dir}`, `dir:${other}`);
    const files = await filesOf(directory);
    expect(files.get('notes.txt')).toBe(Buffer.from('mine').toString('base64'));
    files.delete('notes.txt');
    expect(files).toEqual(await filesOf(other));
  });

  test.each<[string, (directory: string) => Promise<unknown>, RegExp]>([
    ['something else', (at) => writeFile(join(at, 'letter'), ''), /neither empty nor of dir:/],
    [
      'a later version',
      (at) => writeFile(join(at, 'version'), 'Directory Transport Version: 2.0'),
      /version/,
    ],
  ])('is not written to where there is %s', async (_, fill, fault) => {
    const directory = await fresh();
    await fill(directory);
    const before = await readdir(directory);
    const { code, err } = await run('copy', `oci:${single.dir}`, `dir:${directory}`);
    expect([code, err]).toEqual([2, expect.stringMatching(fault)]);
    expect(await readdir(directory)).toEqual(before);
  });

  test('is refused to read where there is no image, or one whose bytes are wrong', async () => {
    const directory = await fresh();
    const empty = await run('copy', `dir:${directory}`, `oci:${directory}/layout`);
    expect([empty.code, empty.err]).toEqual([3, expect.stringContaining('it has no manifest.json')]);
    await copied(`oci:${single.dir}`, `dir:${directory}`);
    const layer = [...single.blobs.keys()].find((digest) => digest !== single.target.digest) ?? '';
    const bytes = await readFile(join(directory, hexOf(layer)));
    await writeFile(join(directory, hexOf(layer)), Buffer.alloc(bytes.length));
    const damaged = await run('copy', `dir:${directory}`, `oci:${work}/damaged`);
    expect([damaged.code, damaged.err]).toEqual([6, expect.stringContaining(hexOf(layer))]);
  });

  test('takes nothing that refers to its image', async () => {
    await using destination = await DirectoryDestination.open(await fresh());
    const repository = destination.repository();
    const bytes = single.blobs.get(single.target.digest) ?? Buffer.of();
    await repository.put(single.target, () => Promise.resolve(Readable.from([bytes])), { root: true });
    const referrer = { ...several.target, mediaType: MEDIA_TYPES.ociManifest };
    await expect(
      repository.put(referrer, () => Promise.resolve(Readable.from([])), { root: true }),
    ).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  test('leaves the referrers of an image behind, and says so', async () => {
    const signed = await makeTinyLayout(join(work, 'signed'), {
      layers: [[{ path: 'a', content: 'signed' }]],
    });
    const { digest, size, mediaType } = signed.target;
    const empty = Buffer.from('{}');
    const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(empty), size: 2 };
    const referrer = Buffer.from(
      JSON.stringify({
        ...{ schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, artifactType: 'text/x-note', config },
        ...{ layers: [config], subject: { digest, size, mediaType } },
      }),
    );
    for (const blob of [empty, referrer])
      await writeFile(join(signed.dir, 'blobs/sha256', hexOf(digestOf(blob))), blob);
    const index = JSON.parse(await readFile(join(signed.dir, 'index.json'), 'utf8')) as {
      manifests: unknown[];
    };
    const entry = { mediaType: MEDIA_TYPES.ociManifest, digest: digestOf(referrer), size: referrer.length };
    const named = { mediaType, digest, size, annotations: { 'org.opencontainers.image.ref.name': 'app' } };
    await writeFile(
      join(signed.dir, 'index.json'),
      JSON.stringify({ ...index, manifests: [named, { ...entry, artifactType: 'text/x-note' }] }),
    );
    const [directory, layout] = [await fresh(), await fresh()];
    await copied(`oci:${signed.dir}:app`, `oci:${layout}:app`);
    await expect(readFile(join(layout, 'blobs/sha256', hexOf(entry.digest)))).resolves.toEqual(referrer);
    const { code, out } = await run('copy', `oci:${signed.dir}:app`, `dir:${directory}`);
    expect([code, out]).toEqual([0, expect.stringMatching(/referrers +left out/)]);
    expect(await readdir(directory)).not.toContain(hexOf(entry.digest));
  });

  test.each([
    ['docker-daemon:alpine', 'docker save alpine'],
    ['containers-storage:alpine', 'skopeo copy containers-storage:alpine'],
  ])('%s is said to be unsupported, with the way around', async (name, way) => {
    const { code, err } = await run('copy', name, `dir:${work}/never`);
    expect([code, err]).toEqual([1, expect.stringContaining(way)]);
  });

  describe.skipIf(needsPeer('skopeo') !== undefined)('and skopeo', () => {
    const skopeo = async (...words: string[]): Promise<void> => {
      await promisify(execFile)('skopeo', ['copy', '--quiet', '--insecure-policy', ...words]);
    };

    test.each<[string, () => TinyLayout, string[]]>([
      ['an image', () => single, []],
      ['an image for several platforms', () => several, ['--all']],
    ])('write the same bytes of %s, and read those of the other', async (_, layout, flags) => {
      const [ours, theirs, back] = [await fresh(), await fresh(), await fresh()];
      await copied(...flags, `oci:${layout().dir}`, `dir:${ours}`);
      await skopeo(...flags, `oci:${layout().dir}`, `dir:${theirs}`);
      expect(await filesOf(ours)).toEqual(await filesOf(theirs));
      await skopeo(...flags, `dir:${ours}`, `oci:${back}/theirs:a`);
      await copied(...flags, `dir:${theirs}`, `oci:${back}/ours:a`);
      for (const name of ['theirs', 'ours']) {
        const blobs = await readdir(join(back, name, 'blobs/sha256'));
        expect(blobs).toContain(hexOf(layout().target.digest));
      }
    });
  });
});
