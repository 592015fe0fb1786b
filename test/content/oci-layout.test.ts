import { execFileSync } from 'node:child_process';
import { mkdir, readdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { OciLayout } from '../../src/content/index.js';
import { type Descriptor, encodedOf, LIMITS, MEDIA_TYPES, parseDigest } from '../../src/spec/index.js';
import { contentOf, describing } from './blobs.js';
import { scratchDirectory } from './scratch-root.js';

const REF_NAME = 'org.opencontainers.image.ref.name';
const bytes = Buffer.from('the content of a blob');
const blob = describing(bytes);

describe('OciLayout', () => {
  let scratch: Awaited<ReturnType<typeof scratchDirectory>>;
  let directory: string;
  beforeEach(async () => {
    scratch = await scratchDirectory();
    directory = scratch.path;
  });
  afterEach(async () => scratch[Symbol.asyncDispose]());

  const image = (content: string, name?: string): Descriptor => ({
    ...describing(Buffer.from(content)),
    mediaType: MEDIA_TYPES.ociManifest,
    ...(name === undefined ? {} : { annotations: { [REF_NAME]: name } }),
  });
  const write = async (index: unknown, layout: unknown = { imageLayoutVersion: '1.0.0' }): Promise<void> => {
    await writeFile(
      join(directory, 'oci-layout'),
      typeof layout === 'string' ? layout : JSON.stringify(layout),
    );
    await writeFile(join(directory, 'index.json'), typeof index === 'string' ? index : JSON.stringify(index));
    await mkdir(join(directory, 'blobs', 'sha256'), { recursive: true });
    await writeFile(join(directory, 'blobs', 'sha256', encodedOf(blob.digest)), bytes);
  };
  const indexOf = (...manifests: Descriptor[]): object => ({ schemaVersion: 2, manifests });

  it('finds an image by its name, or the only one', async () => {
    const [a, b] = [image('a', 'a:1'), image('b', 'b')];
    await write(indexOf(a, b));
    const layout = await OciLayout.open(directory);
    expect(await layout.names()).toEqual(['a:1', 'b']);
    expect(await layout.resolve('b')).toEqual(b);
    expect(await layout.index()).toMatchObject({ kind: 'index', manifests: [a, b] });
    await write(indexOf(a));
    expect(await layout.resolve()).toEqual(a);
  });

  const blobFile = (): string => join(directory, 'blobs', 'sha256', encodedOf(blob.digest));
  /** Leaves a link to a file or directory in its place. */
  const linked = async (path: string): Promise<void> => {
    await rename(path, `${path}.moved`);
    await symlink(`${path}.moved`, path);
  };

  it.each<[name: string, spoil: () => Promise<void>]>([
    ['a link', () => linked(blobFile())],
    ['behind a link to its directory', () => linked(join(directory, 'blobs', 'sha256'))],
    ['behind a link to blobs/', () => linked(join(directory, 'blobs'))],
    [
      'a pipe',
      async () => {
        await rm(blobFile());
        execFileSync('mkfifo', [blobFile()]);
      },
    ],
  ])('does not read a blob that is %s', async (_name, spoil) => {
    await write(indexOf(image('a')));
    const layout = await OciLayout.open(directory);
    await spoil();
    const refused = { code: 'FILESYSTEM', hint: expect.stringContaining('cp -rL') as string };
    await expect(layout.open(blob)).rejects.toMatchObject(refused);
    await expect(layout.info(blob.digest)).rejects.toMatchObject(refused);
    await expect(layout.path(blob.digest)).rejects.toMatchObject(refused);
  });

  it.each(['index.json', 'oci-layout'])('does not follow %s where it is a link', async (name) => {
    await write(indexOf(image('a')));
    await linked(join(directory, name));
    const read = OciLayout.open(directory).then((layout) => layout.index());
    await expect(read).rejects.toMatchObject({
      code: 'FILESYSTEM',
      message: expect.stringContaining(name) as string,
    });
  });

  it('is read through a link that is named itself', async () => {
    await write(indexOf(image('a', 'a')));
    await symlink(directory, `${directory}.link`);
    const layout = await OciLayout.open(`${directory}.link`);
    expect(await layout.names()).toEqual(['a']);
    (await layout.open(blob)).destroy();
    await rm(`${directory}.link`);
  });

  it('gives out no byte of a blob that reads otherwise, also when it was right before', async () => {
    await write(indexOf(image('a')));
    const layout = await OciLayout.open(directory);
    expect(await contentOf(await layout.verified.open(blob))).toEqual(bytes);
    await writeFile(blobFile(), Buffer.from(bytes).fill('x', 3, 4));
    for (const range of [undefined, { offset: 10, length: 2 }]) {
      await expect(layout.verified.open(blob, range)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    }
  });

  it('takes the first of several with one name', async () => {
    await write(indexOf(image('a', 'x'), image('b', 'x')));
    const layout = await OciLayout.open(directory);
    expect((await layout.resolve('x')).digest).toBe(image('a').digest);
    expect(await layout.names()).toEqual(['x']);
  });

  it.each<[string, Descriptor[], string | undefined, string]>([
    ['a name that is not there', [image('a', 'a:1'), image('b', 'b')], 'c', 'a:1, b'],
    ['one of several, without a name', [image('a', 'a:1'), image('b', 'b')], undefined, 'a:1, b'],
    ['an image in an empty layout', [], undefined, 'no'],
    ['a name where none has one', [image('a')], 'a', 'None of its images has a name'],
  ])('does not find %s, and says what there is', async (_, manifests, name, hint) => {
    await write(indexOf(...manifests));
    const layout = await OciLayout.open(directory);
    await expect(layout.resolve(name)).rejects.toMatchObject({
      code: 'BLOB_NOT_FOUND',
      hint: expect.stringMatching(new RegExp(hint, 'i')) as string,
    });
  });

  it('gives its blobs, and writes nothing', async () => {
    await write(indexOf());
    const before = (await readdir(directory, { recursive: true })).sort();
    const layout = await OciLayout.open(directory);
    expect(await layout.info(blob.digest)).toMatchObject({ digest: blob.digest, size: bytes.length });
    expect(await layout.path(blob.digest)).toBe(join(directory, 'blobs', 'sha256', encodedOf(blob.digest)));
    expect((await contentOf(await layout.open(blob))).equals(bytes)).toBe(true);
    expect((await contentOf(await layout.open(blob, { offset: 4, length: 7 }))).toString()).toBe('content');
    await expect(layout.open({ ...blob, size: 5 })).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
    const absent = image('absent');
    expect(await layout.info(absent.digest)).toBeUndefined();
    await expect(layout.open(absent)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    await expect(layout.path(absent.digest)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    expect((await readdir(directory, { recursive: true })).sort()).toEqual(before);
  });

  it('looks for a digest of another algorithm below its own directory', async () => {
    await write(indexOf());
    await mkdir(join(directory, 'blobs', 'blake3'));
    await writeFile(join(directory, 'blobs', 'blake3', 'abc'), 'x');
    const layout = await OciLayout.open(directory);
    expect(await layout.info(parseDigest('blake3:abc'))).toMatchObject({ size: 1 });
  });

  it.each<[string, unknown, string]>([
    ['no version', {}, 'INVALID_MANIFEST'],
    ['a version that is no text', { imageLayoutVersion: 1 }, 'INVALID_MANIFEST'],
    ['what is no object', '[]', 'INVALID_MANIFEST'],
    ['what is not JSON', 'x', 'INVALID_MANIFEST'],
    ['a version to come', { imageLayoutVersion: '2.0.0' }, 'UNSUPPORTED'],
    ['more than is sensible', ' '.repeat(100_000), 'LIMIT_EXCEEDED'],
  ])('refuses an oci-layout with %s', async (_, layout, code) => {
    await write(indexOf(), layout);
    await expect(OciLayout.open(directory)).rejects.toMatchObject({ code });
  });

  it.each<[string, unknown, string]>([
    ['what is not JSON', 'x', 'INVALID_MANIFEST'],
    ['an image in place of an index', { schemaVersion: 2, config: blob, layers: [] }, 'INVALID_MANIFEST'],
    // prettier-ignore
    ['a digest that would lead elsewhere', { schemaVersion: 2, manifests: [{ ...image('a'), digest: 'sha256:../../etc/passwd' }] }, 'INVALID_DIGEST'],
  ])('refuses an index.json with %s', async (_, index, code) => {
    await write(index);
    const layout = await OciLayout.open(directory);
    await expect(layout.resolve()).rejects.toMatchObject({ code });
  });

  it('does not read an index beyond the limit, however large it claims to be', async () => {
    await write(indexOf());
    await truncate(join(directory, 'index.json'), LIMITS.manifestBytes + 1);
    const layout = await OciLayout.open(directory);
    await expect(layout.index()).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  it.each<[string, () => Promise<unknown>]>([
    ['a directory without oci-layout', () => Promise.resolve()],
    ['a directory that is missing', () => Promise.resolve((directory = join(directory, 'missing')))],
  ])('does not take %s for a layout', async (_, prepare) => {
    await prepare();
    await expect(OciLayout.open(directory)).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
  });
});
