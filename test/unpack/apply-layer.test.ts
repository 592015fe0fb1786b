import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, type StatsFs, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { compress as zstd } from 'zstd-napi';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { digestOf, MEDIA_TYPES, unpackLimits } from '../../src/spec/index.js';
import { SharedOffset } from '../../src/system/index.js';
import type { ApplyJob, ApplyOptions } from '../../src/unpack/jobs/apply-job.js';
import { applyLayer } from '../../src/unpack/layer/apply-layer.js';
import { defaultOwnership } from '../../src/unpack/terms/ownership.js';
import {
  activityWords,
  ImageBudget,
  LayerBytes,
  ThreadActivity,
} from '../../src/unpack/jobs/shared-memory.js';
import { listing } from '../support/extract-layer.js';
import { isRoot, MOUNT_NAMESPACE } from '../support/needs-root.js';
import { archive, directory, END, file, hardLink, symlink } from '../support/tar-builder.js';
import { removeTree } from '../support/unpack-fixture.js';

/** What the disk says of itself; undefined for the real one. */
const disk = vi.hoisted((): { stats?: Partial<StatsFs> } => ({}));
vi.mock(import('node:fs'), async (original) => {
  const fs = await original();
  const statfsSync = ((path: string) =>
    Object.assign(fs.statfsSync(path), disk.stats)) as typeof fs.statfsSync;
  return { ...fs, statfsSync };
});

let root = '';
let directoryPath = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'landfall-apply-'));
  directoryPath = join(root, 'layer');
  mkdirSync(directoryPath);
});
afterEach(async () => {
  delete disk.stats;
  await removeTree(root);
});

const OPTIONS: ApplyOptions = {
  ownership: defaultOwnership(),
  devices: true,
  limits: unpackLimits({ entriesPerLayer: 1000, layerBytes: 1e9 }),
  inflate: 'auto',
};

function job(blob: Buffer, more: Partial<ApplyJob> = {}): ApplyJob {
  const blobPath = join(root, 'blob');
  writeFileSync(blobPath, blob);
  return {
    kind: 'apply',
    digest: digestOf(blob),
    mediaType: MEDIA_TYPES.ociLayerGzip,
    blobPath,
    blobSize: blob.length,
    directory: directoryPath,
    options: OPTIONS,
    ...more,
  };
}

const TAR = archive(
  directory('d'),
  file('d/f', 'content'),
  symlink('s', 'd/f'),
  hardLink('h', 'd/f'),
  file('.wh.gone'),
);
const TREE = { d: 'dir 755', 'd/f': 'file 644 content', s: 'symlink d/f', h: 'file 644 content' };
const descriptors = (): number => readdirSync('/proc/self/fd').length;

describe('a layer a hundred times as large as it was compressed', () => {
  const GIB = 1024 ** 3;
  const HOLLOW = gzipSync(archive(file('zeros', Buffer.alloc(4 << 20))));

  /** The layer, after another one of the same image. */
  async function applied(blob: Buffer, other: number, options: Partial<ApplyOptions> = {}): Promise<unknown> {
    const budget = new ImageBudget(2);
    new LayerBytes(4 * GIB, budget.layer(0)).add(other);
    return await applyLayer(job(blob, { budget: budget.layer(1), options: { ...OPTIONS, ...options } }));
  }

  it('is refused where less than 15 % of the disk is free', async () => {
    disk.stats = { blocks: 1000, bavail: 149 };
    await expect(applied(HOLLOW, GIB)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('less than 15 % of the disk is free') as string,
      hint: expect.stringContaining('--unpack-limit') as string,
    });
  });

  it.each<[string, Partial<StatsFs>, number, Partial<ApplyOptions>]>([
    ['more is free', { blocks: 1000, bavail: 150 }, GIB, {}],
    ['the disk does not say', { blocks: 0, bavail: 0 }, GIB, {}],
    ['the image is smaller than 1 GiB', { blocks: 1000, bavail: 149 }, GIB - (8 << 20), {}],
    [
      'that is allowed',
      { blocks: 1000, bavail: 149 },
      GIB,
      { limits: unpackLimits({ lowSpaceRatio: 1100 }) },
    ],
  ])('is unpacked where %s', async (_where, stats, other, options) => {
    disk.stats = stats;
    await expect(applied(HOLLOW, other, options)).resolves.toMatchObject({ entries: 1 });
  });

  it('is another matter than one that is not', async () => {
    disk.stats = { blocks: 1000, bavail: 0 };
    const dense = Buffer.concat([randomBytes(1 << 20), Buffer.alloc(4 << 20)]);
    await expect(applied(gzipSync(archive(file('dense', dense))), GIB)).resolves.toMatchObject({
      entries: 1,
    });
  });
});

describe('applyLayer', () => {
  it.each([
    { compression: 'gzip', by: 'zlib', blob: gzipSync(TAR), mediaType: MEDIA_TYPES.ociLayerGzip },
    { compression: 'gzip', by: 'zlib', blob: gzipSync(TAR), mediaType: MEDIA_TYPES.dockerLayerGzip },
    { compression: 'zstd', by: 'zstd', blob: zstd(TAR), mediaType: MEDIA_TYPES.ociLayerZstd },
    { compression: 'none', by: 'none', blob: TAR, mediaType: MEDIA_TYPES.ociLayer },
  ])('extracts $mediaType', async ({ compression, by, blob, mediaType }) => {
    const result = await applyLayer(job(blob, { mediaType, options: { ...OPTIONS, inflate: 'zlib' } }));
    expect(result).toEqual({
      diffId: digestOf(TAR),
      changes: { implied: [''], whiteouts: ['gone'], opaques: [], pendingLinks: [] },
      entries: 5,
      uncompressedSize: TAR.length,
      workMs: expect.any(Number) as number,
      omitted: [],
      compression,
      decompressor: by,
      warnings: [],
    });
    expect(listing(directoryPath)).toEqual(TREE);
  });

  it('warns where the bytes are not what the media type says, and reads the bytes', async () => {
    const { warnings, compression } = await applyLayer(job(zstd(TAR)));
    expect(compression).toBe('zstd');
    expect(warnings).toEqual([expect.stringMatching(/compressed with zstd, though.*tar\+gzip/)]);
    expect(listing(directoryPath)).toEqual(TREE);
  });

  it('computes the diffId in the algorithm that is asked for', async () => {
    const { diffId } = await applyLayer(job(gzipSync(TAR), { diffIdAlgorithm: 'sha512' }));
    expect(diffId).toBe(digestOf(TAR, 'sha512'));
  });

  it('counts what follows the end of the archive to the diffId, and ignores it', async () => {
    const long = Buffer.concat([TAR, Buffer.alloc(8192), Buffer.from('left over'), file('ignored', 'x')]);
    const { diffId, uncompressedSize } = await applyLayer(job(gzipSync(long)));
    expect([diffId, uncompressedSize]).toEqual([digestOf(long), long.length]);
    expect(listing(directoryPath)).toEqual(TREE);
  });

  it.each([
    { name: 'the empty layer of docker', blob: gzipSync(END) },
    { name: 'no bytes', blob: Buffer.alloc(0) },
  ])('takes $name', async ({ blob }) => {
    const { entries, changes } = await applyLayer(job(blob));
    expect([entries, changes.implied]).toEqual([0, ['']]);
  });

  it.each([true, false])('asks whether cores idle, and makes the same of a layer: %s', async (idle) => {
    const activity = new ThreadActivity(activityWords(1), 0);
    const asked = vi.spyOn(activity, 'coresIdle', 'get').mockReturnValue(idle);
    const tar = archive(file('noise', randomBytes(3 << 20)), file('text', 'land ho\n'.repeat(200_000)), END);
    const { diffId } = await applyLayer(job(gzipSync(tar)), { activity });
    expect(diffId).toBe(digestOf(tar));
    expect(asked).toHaveBeenCalled();
  });

  it('extracts a layer while it downloads', async () => {
    const blob = gzipSync(
      archive(file('first', 'x'.repeat(100)), file('big', Buffer.alloc(3 << 20, 'noise')), file('last', 'z')),
      { level: 0 },
    );
    const sharedOffset = new SharedOffset();
    const progress: number[] = [];
    const begun = performance.now();
    const applying = applyLayer(job(blob, { sharedOffset: sharedOffset.buffer }), {
      onProgress: (bytes) => progress.push(bytes),
    });
    sharedOffset.advance(1 << 20);
    while (!readdirSync(directoryPath).includes('first'))
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect(readdirSync(directoryPath)).not.toContain('last');
    while (progress.at(-1) !== 1 << 20) await new Promise((resolve) => setTimeout(resolve, 5));
    const waiting = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const waited = performance.now() - waiting;
    sharedOffset.advance(blob.length);
    sharedOffset.complete();
    const { workMs } = await applying;
    // Of its time, what it waited for bytes is left out.
    expect(workMs).toBeLessThanOrEqual(performance.now() - begun - waited);
    expect(readdirSync(directoryPath).sort()).toEqual(['big', 'first', 'last']);
    expect(progress.at(-1)).toBe(blob.length);
  });

  const broken = Buffer.concat([file('a', 'x'), Buffer.alloc(512, 'garbage')]);
  it.each([
    { name: 'a gzip cut short', blob: gzipSync(TAR).subarray(0, 100), code: 'BAD_ARCHIVE' },
    { name: 'a tar cut short within', blob: gzipSync(TAR.subarray(0, 512 * 2 + 3)), code: 'BAD_ARCHIVE' },
    { name: 'something else than a tar', blob: gzipSync('<html>not found</html>'), code: 'BAD_ARCHIVE' },
    {
      name: 'garbage after the gzip',
      blob: Buffer.concat([gzipSync(TAR), Buffer.from('garbage')]),
      code: 'BAD_ARCHIVE',
    },
    { name: 'a damaged header', blob: gzipSync(broken), code: 'BAD_ARCHIVE' },
    {
      name: 'an unsafe path',
      blob: gzipSync(archive(file('../f', 'x'))),
      code: 'UNSAFE_PATH',
      entry: '../f',
    },
    {
      name: 'an unsafe link',
      blob: gzipSync(archive(hardLink('caf\xc3\xa9', '../f'))),
      code: 'UNSAFE_PATH',
      entry: 'café',
    },
    {
      name: 'more entries than allowed',
      blob: TAR,
      code: 'LIMIT_EXCEEDED',
      options: { limits: unpackLimits({ entriesPerLayer: 4 }) },
    },
    {
      name: 'more bytes than allowed',
      blob: gzipSync(TAR),
      code: 'LIMIT_EXCEEDED',
      options: { limits: unpackLimits({ layerBytes: TAR.length - 1 }) },
    },
  ])('refuses $name and names the layer', async ({ blob, code, entry, options }) => {
    const before = descriptors();
    const attempt = job(blob, { options: { ...OPTIONS, ...options } });
    await expect(applyLayer(attempt)).rejects.toMatchObject({
      name: 'UnpackError',
      code,
      message: expect.stringContaining(attempt.digest) as string,
      hint: expect.any(String) as string,
      details: { layer: attempt.digest, ...(entry === undefined ? {} : { entry }) },
    });
    expect(descriptors()).toBe(before);
  });

  it('does not wait for the rest of the download when the archive is bad', async () => {
    const blob = gzipSync(Buffer.concat([broken, Buffer.alloc(100_000)]), { level: 0 });
    const sharedOffset = new SharedOffset();
    sharedOffset.advance(blob.length - 1000);
    await expect(applyLayer(job(blob, { sharedOffset: sharedOffset.buffer }))).rejects.toMatchObject({
      code: 'BAD_ARCHIVE',
    });
  });

  it('gives up when the download fails', async () => {
    const blob = gzipSync(TAR);
    const sharedOffset = new SharedOffset();
    sharedOffset.advance(50);
    const applying = applyLayer(job(blob, { sharedOffset: sharedOffset.buffer }));
    setTimeout(() => sharedOffset.fail(), 10);
    await expect(applying).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it.each([
    { name: 'gzip', pack: (tar: Buffer) => gzipSync(tar, { level: 1 }) },
    { name: 'zstd', pack: (tar: Buffer) => zstd(tar) },
    { name: 'plain bytes', pack: (tar: Buffer) => tar },
  ])('stops between chunks when it is aborted, $name', async ({ pack }) => {
    const before = descriptors();
    const blob = pack(archive(file('big', Buffer.alloc(64 << 20))));
    const controller = new AbortController();
    const watch = setInterval(() => {
      if (readdirSync(directoryPath).includes('big')) controller.abort();
    }, 1);
    const applying = applyLayer(job(blob), { signal: controller.signal }).finally(() => clearInterval(watch));
    await expect(applying).rejects.toMatchObject({ code: 'ABORTED' });
    expect(descriptors()).toBe(before);
  });

  it('says which blob is missing', async () => {
    const missing = { ...job(TAR), blobPath: join(root, 'nowhere') };
    await expect(applyLayer(missing)).rejects.toMatchObject({
      code: 'FILESYSTEM',
      details: { layer: missing.digest },
    });
  });

  // A file system of its own, in a mount namespace that ends with the child.
  it('reports a full file system as NO_SPACE', () => {
    const script = `
      set -e
      mount -t tmpfs -o size=64k tmpfs "$1/layer"
      exec "$2" --input-type=module -e '
        const { applyLayer } = await import(process.argv[1]);
        try { await applyLayer(JSON.parse(process.argv[2])); } catch (e) { console.log(e.code, JSON.stringify(e.details)); }
      ' "$3" "$4"`;
    const full = job(gzipSync(archive(file('big', Buffer.alloc(1 << 20, 'x')))));
    const module = new URL('../../dist/src/unpack/layer/apply-layer.js', import.meta.url).href;
    const said = execFileSync('unshare', [
      MOUNT_NAMESPACE,
      'sh',
      '-c',
      script,
      'sh',
      root,
      process.execPath,
      module,
      JSON.stringify(full),
    ]);
    expect(said.toString().trim()).toBe(`NO_SPACE ${JSON.stringify({ entry: 'big', layer: full.digest })}`);
  });
});

describe('applyLayer beside GNU tar', () => {
  const OF_ROOT = String.raw`
    mknod null c 1 3; mknod disk b 8 300; chown 1234:5678 usr/bin/tool 'a b'; chmod 4755 usr/bin/tool; setfattr -n trusted.key -v value 'a b'
    setcap cap_net_raw+ep usr/bin/linked 2>/dev/null || setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 usr/bin/linked`;
  const SOURCE = String.raw`
    set -eu; mkdir "$1/source"; cd "$1/source"
    mkdir -p usr/bin 'a b' deep/$(printf 'x%.0s' $(seq 200))/$(printf 'y%.0s' $(seq 200)); echo content > usr/bin/tool; chmod 4755 usr/bin/tool
    ln usr/bin/tool usr/bin/linked; ln -s usr/bin bin; ln -s /absolute abs; ln bin hard-symlink; mkfifo pipe
    printf 'bytes' > "$(printf 'not-utf8-\377')"; chmod 1777 'a b'; chmod 500 deep
    setfattr -n user.key -v 0x00ff0a usr/bin/tool; ${isRoot ? OF_ROOT : ''}
    truncate -s 3M holes; printf end >> holes; touch -d '1960-01-02 03:04:05.678' old; touch -d '2100-01-01' 'a b' new; touch -h -d '2001-02-03 04:05:06.789' bin`;
  const LIST = String.raw`
    cd "$1"; find . -printf '%P\t%y\t%m\t%U:%G\t%s\t%l\t%n\t%T@\n' | awk -F'\t' -v OFS='\t' '{ if ($2 == "d") { $5 = "-"; $7 = "-" } print }' | sort
    find . \( -type c -o -type b \) -exec stat -c '%n %t:%T' {} + | sort; find . -type f -print0 | sort -z | xargs -0r sha256sum; getfattr -R -h -d -m - -e hex . 2>/dev/null`;
  const list = (path: string): string =>
    execFileSync('sh', ['-c', LIST, 'sh', path], { env: { ...process.env, LC_ALL: 'C' } }).toString('latin1');

  const python = (format: string): string =>
    `python3 -c 'import sys, tarfile; t = tarfile.open(sys.argv[1], "w", format=tarfile.${format}); t.add("."); t.close()' "$2"`;

  it.each([
    { name: 'GNU tar, gnu', command: 'tar --format=gnu -cf "$2" .' },
    { name: 'GNU tar, gnu and sparse', command: 'tar --format=gnu -Scf "$2" .' },
    { name: 'GNU tar, pax', command: 'tar --format=pax --xattrs --xattrs-include=\'*\' -cf "$2" .' },
    ...['0.0', '0.1', '1.0'].map((version) => ({
      name: `GNU tar, pax and sparse ${version}`,
      command: `tar --format=pax --xattrs --xattrs-include='*' -S --sparse-version=${version} -cf "$2" .`,
    })),
    { name: 'bsdtar, pax', command: 'bsdtar --format=pax --xattrs -cf "$2" .' },
    { name: 'bsdtar, gnutar', command: 'bsdtar --format=gnutar -cf "$2" .' },
    {
      name: 'Python, pax',
      command: python('PAX_FORMAT'),
    },
    {
      name: 'Python, gnu',
      command: python('GNU_FORMAT'),
    },
  ])('makes the same of $name', async ({ command }) => {
    const tar = join(root, 'tar');
    execFileSync(
      'sh',
      [
        '-c',
        `${SOURCE}; ${command}; mkdir "$1/expected"; tar -xpf "$2" --xattrs --xattrs-include='*' --numeric-owner --delay-directory-restore -C "$1/expected"`,
        'sh',
        root,
        tar,
      ],
      {
        env: { ...process.env, LC_ALL: 'C.UTF-8' },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    const blob = execFileSync('gzip', ['-c', tar], { maxBuffer: 1 << 26 });
    const { warnings } = await applyLayer(job(blob));
    expect(warnings).toEqual([]);
    expect(list(directoryPath)).toBe(list(join(root, 'expected')));
    expect(list(directoryPath)).toContain('usr/bin/linked');
  });
});
