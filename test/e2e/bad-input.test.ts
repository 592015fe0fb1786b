import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ErrorJson } from '../../src/errors.js';
import { digestOf, parseDigest } from '../../src/spec/index.js';
import { makeLayeredLayout } from '../support/layered-image.js';
import { type Lie, startLyingRegistry } from '../support/lying-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';
import { landfall } from '../support/warm-command.js';

interface Row {
  readonly name: string;
  readonly code: string;
  readonly exit: number;
  /** What the person has to be told, besides the code. */
  readonly says: RegExp;
  readonly reference?: (address: string) => string;
  readonly layout?: (directory: string) => Promise<TinyLayout>;
  readonly lie?: (layout: TinyLayout) => (what: string) => Lie | undefined;
  readonly args?: readonly string[];
  /** A partial download stays for resume. */
  readonly keepsPartial?: boolean;
}

const firstLayer = (layout: TinyLayout): string => layout.manifests[0].layers[0]?.digest ?? '';

function layerBytes(layout: TinyLayout): Buffer {
  return Buffer.from(layout.blobs.get(parseDigest(firstLayer(layout))) ?? '');
}

/** An image whose only layer is these bytes; its config says whatever diffId is given, or the right one. */
async function imageOf(
  directory: string,
  layer: Buffer,
  o: { mediaType?: string; diffId?: string } = {},
): Promise<TinyLayout> {
  const base = await makeTinyLayout(directory, { layers: [[{ path: 'x', content: 'x' }]] });
  const blobs = new Map(base.blobs);
  const add = (bytes: Buffer): { digest: string; size: number } => {
    blobs.set(digestOf(bytes), bytes);
    return { digest: digestOf(bytes), size: bytes.length };
  };
  const config = add(
    Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture: 'amd64',
        rootfs: { type: 'layers', diff_ids: [o.diffId ?? digestOf(layer)] },
      }),
    ),
  );
  const described = add(layer);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers: [{ mediaType: o.mediaType ?? 'application/vnd.oci.image.layer.v1.tar', ...described }],
    }),
  );
  add(manifest);
  const target = { ...base.target, digest: digestOf(manifest), size: manifest.length };
  return { ...base, target, blobs };
}

/** A header block of the ustar format, byte by byte, since writers refuse to make what is needed here. */
function tarHeader(name: string, type: string, size = 0, link = ''): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000755\0' + '0000000\0'.repeat(2), 100);
  block.write(size.toString(8).padStart(11, '0') + '\0' + '00000000000\0', 124);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(link, 157, 'latin1');
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(sum.toString(8).padStart(6, '0') + '\0 ', 148);
  return block;
}

const END = Buffer.alloc(1024);

const ROWS: readonly Row[] = [
  {
    name: 'a malformed reference',
    reference: (address) => `${address}/Not A Name`,
    code: 'INVALID_REFERENCE',
    exit: 2,
    says: /Not A Name/,
  },
  {
    name: 'an unknown host',
    reference: () => 'registry.invalid/x:1',
    code: 'UNAVAILABLE',
    exit: 5,
    says: /registry\.invalid/,
  },
  {
    name: 'a host where nobody listens',
    reference: () => '127.0.0.1:1/x:1',
    code: 'UNAVAILABLE',
    exit: 5,
    says: /127\.0\.0\.1:1/,
  },
  {
    name: 'an unknown repository or tag',
    lie: () => (what) => (what === 'tag' ? { status: 404 } : undefined),
    code: 'NOT_FOUND',
    exit: 3,
    says: /team\/app/,
  },
  {
    name: 'no manifest for this platform',
    layout: (directory) => makeTinyLayout(directory, { platforms: ['linux/s390x', 'windows/amd64'] }),
    code: 'NO_MATCHING_PLATFORM',
    exit: 3,
    says: /linux\/s390x, windows\/amd64/,
  },
  {
    name: 'a single manifest for another platform than the one asked for',
    args: ['--platform', 'linux/s390x'],
    code: 'NO_MATCHING_PLATFORM',
    exit: 3,
    says: /linux\/amd64/,
  },
  {
    name: 'a layer of other bytes',
    lie: (layout) => (what) => {
      const bytes = layerBytes(layout);
      bytes[20] = (bytes[20] ?? 0) ^ 0xff;
      return what === firstLayer(layout) ? { body: bytes } : undefined;
    },
    code: 'DIGEST_MISMATCH',
    exit: 6,
    says: /sha256:/,
  },
  {
    name: 'a manifest of other bytes',
    lie: (layout) => (what) =>
      what === 'tag'
        ? undefined
        : what === layout.target.digest
          ? { body: Buffer.alloc(layout.target.size, ' ') }
          : undefined,
    code: 'DIGEST_MISMATCH',
    exit: 6,
    says: /sha256:/,
  },
  {
    name: 'a layer that is longer than the manifest says',
    lie: (layout) => (what) =>
      what === firstLayer(layout)
        ? { body: Buffer.concat([layerBytes(layout), Buffer.from('more')]) }
        : undefined,
    code: 'SIZE_MISMATCH',
    exit: 6,
    says: /sha256:/,
  },
  {
    name: 'a layer whose diffId is another',
    layout: (directory) =>
      imageOf(directory, gzipSync(Buffer.concat([tarHeader('x', '0'), END])), {
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        diffId: `sha256:${'0'.repeat(64)}`,
      }),
    code: 'DIFF_ID_MISMATCH',
    exit: 6,
    says: /0000000000/,
  },
  {
    name: 'a manifest larger than the limit',
    lie: () => (what) => (what === 'tag' ? { body: Buffer.alloc(5 << 20, ' ') } : undefined),
    code: 'LIMIT_EXCEEDED',
    exit: 7,
    says: /4\.2 MB/,
  },
  {
    name: 'a Docker schema 1 manifest',
    lie: () => (what) =>
      what === 'tag'
        ? {
            body: Buffer.from(
              '{"schemaVersion":1,"mediaType":"application/vnd.docker.distribution.manifest.v1+json","name":"x","tag":"1"}',
            ),
          }
        : undefined,
    code: 'UNSUPPORTED_MEDIA_TYPE',
    exit: 7,
    says: /schema 1/i,
  },
  {
    name: 'a download that is cut each time',
    layout: (directory) => makeLayeredLayout(directory, { layers: 1, files: 4, fileBytes: 50_000 }),
    lie: (layout) => {
      let answers = 0;
      return (what) => (what === firstLayer(layout) ? { cutAfter: answers++ === 0 ? 60_000 : 0 } : undefined);
    },
    code: 'UNAVAILABLE',
    exit: 5,
    says: /127\.0\.0\.1/,
    keepsPartial: true,
  },
  {
    name: 'a layer that is not a tar',
    layout: (directory) => imageOf(directory, Buffer.from('this is no archive, but prose. '.repeat(64))),
    code: 'BAD_ARCHIVE',
    exit: 7,
    says: /tar/,
  },
  {
    name: 'a layer that ends within a file',
    layout: (directory) => imageOf(directory, Buffer.concat([tarHeader('x', '0', 4096), Buffer.alloc(512)])),
    code: 'BAD_ARCHIVE',
    exit: 7,
    says: /cut short/,
  },
  {
    name: 'a path that climbs out',
    layout: (directory) => imageOf(directory, Buffer.concat([tarHeader('../../escaped', '0'), END])),
    code: 'UNSAFE_PATH',
    exit: 7,
    says: /\.\.\/\.\.\/escaped/,
  },
  {
    name: 'a hard link to a file outside',
    layout: (directory) =>
      imageOf(directory, Buffer.concat([tarHeader('x', '1', 0, '../../../etc/passwd'), END])),
    code: 'UNSAFE_PATH',
    exit: 7,
    says: /etc\/passwd/,
  },
];

describe('bad input', () => {
  let work: string;
  let sentinel: string;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-bad-'));
    sentinel = join(work, 'sentinel');
    await writeFile(sentinel, 'untouched');
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  let root: string;
  let layouts: string;
  beforeEach(async () => {
    root = await mkdtemp(join(work, 'root-'));
    layouts = await mkdtemp(join(work, 'layout-'));
  });

  it.each(ROWS)('$name ends with $code and exit $exit', async (row) => {
    const layout = await (row.layout ?? makeTinyLayout)(layouts);
    await using registry = await startLyingRegistry(layout, row.lie?.(layout));
    const reference = row.reference?.(registry.address) ?? `${registry.address}/team/app:1`;
    const args = ['--root', root, 'pull', ...(row.args ?? []), reference];
    const result = await landfall([...args, '--output', 'json', '--progress', 'none']);
    expect({ exit: result.code, stderr: result.stderr }).toMatchObject({ exit: row.exit });
    const [element] = JSON.parse(result.stdout) as [{ reference: string; error: ErrorJson }];
    expect(element.error).toMatchObject({ code: row.code });
    expect(`${element.error.message} ${JSON.stringify(element.error.details)}`).toMatch(row.says);
    expect(element.error.hint, element.error.message).toBeTruthy();

    expect(JSON.parse((await landfall(['--root', root, 'images', '--output', 'json'])).stdout)).toEqual([]);
    expect(await readdir(join(root, 'snapshots'))).toEqual([]);
    expect(await readdir(join(root, 'ingest'))).toHaveLength(row.keepsPartial === true ? 1 : 0);
    expect((await readdir(root)).filter((name) => name.includes('tmp'))).toEqual([]);
    const index = JSON.parse(await readFile(join(root, 'index.json'), 'utf8')) as { manifests: unknown[] };
    expect(index.manifests).toEqual([]);
    expect(await readFile(sentinel, 'utf8')).toBe('untouched');
  });

  it('tells a person the same in at most three lines', async () => {
    const layout = await makeTinyLayout(layouts, { platforms: ['linux/s390x', 'linux/riscv64'] });
    await using registry = await startLyingRegistry(layout);
    const { code, stderr } = await landfall([
      '--root',
      root,
      '--progress',
      'none',
      'pull',
      `${registry.address}/a:1`,
    ]);
    expect(code).toBe(3);
    const said = stderr.trim().split('\n');
    expect(said.length).toBeLessThanOrEqual(3);
    expect(said[0]).toMatch(/^landfall: .*linux\/s390x/);
    expect(stderr).toMatch(/hint: .*--platform/);
  });

  it('does not retry what cannot help, and tries every argument', async () => {
    const layout = await makeTinyLayout(layouts);
    await using registry = await startLyingRegistry(layout, (what) =>
      what === 'tag' ? { status: 404 } : undefined,
    );
    const good = `${registry.address}/team/app@${layout.target.digest}`;
    const { code, stdout } = await landfall([
      '--root',
      root,
      '--output',
      'json',
      'pull',
      `${registry.address}/no:1`,
      good,
    ]);
    expect(code).toBe(3);
    const [first, second] = JSON.parse(stdout) as [{ error: ErrorJson }, { reference: string }];
    expect(first.error.code).toBe('NOT_FOUND');
    expect(second.reference).toBe(good);
    expect(registry.requests.filter((line) => line.includes('/no/')).length).toBeLessThanOrEqual(2);
  });

  it('refuses a root that cannot be written, and makes nothing', async () => {
    const file = join(work, 'a-file');
    await writeFile(file, '');
    for (const bad of [join(file, 'below'), '/proc/landfall']) {
      const { code, stderr } = await landfall(['--root', bad, '--output', 'json', 'images']);
      const error = JSON.parse(stderr) as ErrorJson;
      expect({ code, error: error.code }).toEqual({ code: 8, error: 'FILESYSTEM' });
      expect(error.hint).toBeTruthy();
    }
    expect((await stat(file)).size).toBe(0);
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s in mid-pull ends with %i, and a second pull goes on from there', async (signal, exit) => {
    const layout = await makeLayeredLayout(layouts, { layers: 3, files: 8, fileBytes: 100_000 });
    let slowly: number | undefined = 20;
    const digests = new Set<string>(layout.manifests[0].layers.map((layer) => layer.digest));
    await using registry = await startLyingRegistry(layout, (what) =>
      slowly !== undefined && digests.has(what) ? { slowly } : undefined,
    );
    const args = ['--root', root, '--progress', 'json', 'pull', `${registry.address}/team/app:1`];
    const interrupted = await landfall(args, {
      onStart: (child) => {
        let heard = '';
        child.stderr?.on('data', (chunk: Buffer) => {
          heard += chunk.toString();
          // Not before every layer has some bytes, so that there is something to go on from.
          const begun = new Set(
            [...heard.matchAll(/"digest":"(\S+?)","size":\d+,"state":"downloading","bytes":[1-9]/g)].map(
              (m) => m[1],
            ),
          );
          // Once: a second signal does not wait for what the first one began.
          if (begun.size >= 3 && !child.killed) child.kill(signal);
        });
      },
    });
    expect(interrupted).toMatchObject({ code: exit, signal: undefined });
    expect(await readdir(join(root, 'snapshots'))).toEqual([]);
    const partials = await readdir(join(root, 'ingest'));
    expect(partials.length).toBeGreaterThan(0);

    slowly = undefined;
    const [second] = JSON.parse((await landfall([...args, '--output', 'json'])).stdout) as [
      { bytesDownloaded: number },
    ];
    const whole = [...layout.blobs.values()].reduce((sum, bytes) => sum + bytes.length, 0);
    expect(second.bytesDownloaded).toBeLessThan(whole);
    expect(await readdir(join(root, 'ingest'))).toEqual([]);
    const target = join(work, signal);
    await mkdir(target);
    expect(
      await landfall(['--root', root, 'unpack', `${registry.address}/team/app:1`, target]),
    ).toMatchObject({ code: 0 });
    expect((await readdir(target)).sort()).toEqual(['layer-0', 'layer-1', 'layer-2']);
  });
});
