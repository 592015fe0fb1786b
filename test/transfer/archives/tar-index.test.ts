import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openArchiveFile } from '../../../src/transfer/transports/archives/archive-file.js';
import { indexTar, type TarIndex } from '../../../src/transfer/transports/archives/tar-index.js';
import { oldSparse } from '../../support/sparse-builder.js';
import {
  archive,
  directory,
  END,
  entry,
  file,
  hardLink,
  header,
  symlink,
} from '../../support/tar-builder.js';

describe('the index of a tar archive', () => {
  let work: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-tar-index-'));
  });
  afterAll(() => rm(work, { recursive: true }));

  const indexOf = async (bytes: Buffer, entries = 1000): Promise<TarIndex> => {
    const path = join(work, 'archive.tar');
    await writeFile(path, bytes);
    await using opened = await openArchiveFile(path);
    return await indexTar(opened, { limits: { entries, spooledBytes: 1 } });
  };

  test('says where each file lies, whatever its size and however its name is written', async () => {
    const long = `${'long/'.repeat(40)}name`;
    const index = await indexOf(
      archive(
        directory('d/'),
        file('d/a', 'a'.repeat(100_000)),
        file('./b', 'bb'),
        file(long, 'ccc', { pax: { path: long } }),
      ),
    );
    expect(index.find('d/a')).toEqual({ offset: 1024, size: 100_000 });
    expect(index.find('b')?.size).toBe(2);
    expect(index.find('/b')?.size).toBe(2);
    expect(index.find(long)?.size).toBe(3);
    expect(index.find('d')).toBeUndefined();
    expect(index.find('missing')).toBeUndefined();
    expect(index.isStrict).toBe(true);
  });

  test('follows links within the archive, and none that goes round or out of it', async () => {
    const index = await indexOf(
      archive(
        file('one/layer.tar', 'layer'),
        symlink('two/layer.tar', '../one/layer.tar'),
        hardLink('three/layer.tar', 'one/layer.tar'),
        symlink('four', 'two/layer.tar'),
        symlink('round', 'round'),
        symlink('out', '../../../etc/passwd'),
        file('../../etc/shadow', 'secret'),
      ),
    );
    for (const path of ['two/layer.tar', 'three/layer.tar', 'four']) expect(index.find(path)?.size).toBe(5);
    for (const path of ['round', 'out', 'etc/passwd', 'etc/shadow']) expect(index.find(path)).toBeUndefined();
  });

  test.each<[string, Buffer]>([
    ['ends without its mark', archive(file('a', 'a')).subarray(0, 1024)],
    [
      'ends without the padding of its last file',
      Buffer.concat([header({ path: 'a', size: 3 }), Buffer.from('abc')]),
    ],
    [
      'has a checksum in another form',
      archive(
        entry({ path: 'a', raw: {} }, 'a').fill(' ', 155, 156).fill('\0', 154, 155).fill(' ', 148, 149),
      ),
    ],
  ])('takes an archive that %s, and does not vouch for it', async (_what, bytes) => {
    const index = await indexOf(bytes);
    expect(index.find('a')).toBeDefined();
    expect(index.isStrict).toBe(false);
  });

  test.each<[string, Buffer, string]>([
    ['is empty', Buffer.alloc(0), 'not a tar archive'],
    ['is an end only', END, 'not a tar archive'],
    ['is no tar', Buffer.alloc(2048, 'x'), 'not a tar archive'],
    [
      'has a wrong checksum',
      archive(file('a', 'a'), entry({ path: 'b', checksum: 'wrong' })),
      'wrong checksum',
    ],
    ['is cut short within content', archive(file('a', 'a'.repeat(2000))).subarray(0, 1800), 'cut short'],
    ['is cut short within a header', archive(file('a', 'a')).subarray(0, 1300), 'cut short'],
    ['claims more than there is', archive(header({ path: 'a', size: 2 ** 40 })), 'cut short'],
    ['has a negative size', archive(header({ path: 'a', size: -1 })), 'negative'],
    ['has a file twice', archive(file('index.json', '1'), file('./index.json', '2')), 'twice'],
    [
      'has a blob twice, in two sizes',
      archive(file('blobs/sha256/a', '1'), file('blobs/sha256/a', '22')),
      'twice',
    ],
    [
      'has a file and a link of one name',
      archive(file('b', '1'), file('a', '1'), symlink('a', 'b')),
      'twice',
    ],
    ['has a sparse file', archive(oldSparse([[0, 1]], 9, 'a')), 'sparse'],
    [
      'has something in its padding',
      archive(Buffer.concat([header({ path: 'a', size: 3 }), Buffer.alloc(512, 'x')])),
      'where nothing should be',
    ],
    [
      'has something behind its end',
      Buffer.concat([archive(file('a', 'a')), file('b', 'b')]),
      'follows the end',
    ],
    [
      'ends after an extended header',
      archive(entry({ path: 'x', typeflag: 'x' }, '9 path=a\n')),
      'extended header',
    ],
  ])('refuses an archive that %s', async (_what, bytes, fault) => {
    await expect(indexOf(bytes)).rejects.toMatchObject({
      code: 'BAD_ARCHIVE',
      message: expect.stringContaining(fault) as string,
    });
  });

  test('takes a blob that stands there twice, of which either does', async () => {
    const index = await indexOf(archive(file('blobs/sha256/a', 'one'), file('blobs/sha256/a', 'two')));
    expect(index.find('blobs/sha256/a')?.offset).toBe(512);
  });

  test('refuses more entries than there may be', async () => {
    const files = Array.from({ length: 4 }, (_, at) => file(`f${at}`, ''));
    await expect(indexOf(archive(...files), 3)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    await expect(indexOf(archive(...files), 4)).resolves.toBeDefined();
  });

  test('refuses names and extended headers beyond all measure', async () => {
    const name = 'n'.repeat(5000);
    await expect(indexOf(archive(file('a', '', { pax: { path: name } })))).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
    await expect(indexOf(archive(header({ path: 'x', typeflag: 'x', size: 2 ** 30 })))).rejects.toMatchObject(
      {
        code: 'LIMIT_EXCEEDED',
      },
    );
  });
});
