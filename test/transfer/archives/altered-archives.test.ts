import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compress } from 'zstd-napi';
import { EXIT_CODES } from '../../../src/cli/output/exit-codes.js';
import type { ErrorCode } from '../../../src/errors.js';
import { Random } from '../../fuzz/random.js';
import { loadingOf, proofOf } from '../../support/archive-proof.js';
import { writeArchive } from '../../support/archived-images.js';
import { makeTinyLayout } from '../../support/tiny-image.js';

const ALTERATIONS = 250;
const TRUNCATIONS = 60;

describe('an archive of ours that is', () => {
  let work: string;
  let whole: Buffer;
  let split: { readonly names: string[]; readonly file: string };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-altered-'));
    const app = await makeTinyLayout(join(work, 'app'), { platforms: ['linux/amd64', 'linux/arm64'] });
    const tool = await makeTinyLayout(join(work, 'tool'), { compression: 'none' });
    const images = [
      { layout: app, repository: 'docker.io/team/app', tag: '1', platforms: 'all' as const },
      { layout: tool, repository: 'docker.io/team/tool', tag: '2' },
    ];
    await writeArchive(join(work, 'whole.tar'), images);
    whole = await readFile(join(work, 'whole.tar'));
    const file = join(work, 'split.tar');
    await writeArchive(file, images, { splitBytes: 4000 });
    split = { file, names: ['split.tar.000', 'split.tar.001', 'split.tar.002', 'split.tar.003'] };
  });
  afterAll(() => rm(work, { recursive: true }));

  /** Both `verify` and `load` find it, as damage or as malformed. */
  const isFound = async (bytes: Buffer, how: string): Promise<void> => {
    const file = join(work, 'altered.tar');
    const directory = await mkdtemp(join(work, 'layout-'));
    await writeFile(file, bytes);
    for (const codes of [await proofOf(file), await loadingOf(file, join(directory, 'layout'))]) {
      expect(codes, how).not.toBe('whole');
      if (codes === 'whole') continue;
      for (const code of codes) expect([6, 7], `${how}: ${code}`).toContain(EXIT_CODES[code as ErrorCode]);
    }
  };

  test('left as it was is whole', async () => {
    const file = join(work, 'whole.tar');
    expect(await proofOf(file)).toBe('whole');
    expect(await loadingOf(file, join(work, 'loaded'))).toBe('whole');
  });

  test('altered in any place is found out', async () => {
    const random = new Random(7);
    for (let time = 0; time < ALTERATIONS; time += 1) {
      const at = random.below(whole.length);
      const bytes = Buffer.from(whole);
      const bits = 1 + random.below(255);
      bytes[at] = (bytes[at] ?? 0) ^ bits;
      await isFound(bytes, `byte ${at} xor ${bits}`);
    }
  });

  test('cut short anywhere is found out', async () => {
    const random = new Random(8);
    const blocks = Array.from({ length: 20 }, () => 512 * random.below(whole.length / 512));
    const anywhere = Array.from({ length: TRUNCATIONS }, () => random.below(whole.length));
    for (const length of [
      ...blocks,
      ...anywhere,
      whole.length - 1,
      whole.length - 512,
      whole.length - 1024,
    ]) {
      await isFound(whole.subarray(0, length), `cut to ${length} bytes`);
    }
  });

  test.each([
    // Behind the header, of which nobody knows what its time or system ought to be.
    ['gzip', (bytes: Buffer) => gzipSync(bytes), 10],
    ['zstd', (bytes: Buffer) => compress(bytes, { checksumFlag: true }), 0],
  ] as const)('compressed with %s and altered or cut short is found out', async (_name, pack, from) => {
    const packed = pack(whole);
    const random = new Random(9);
    for (let time = 0; time < 40; time += 1) {
      const at = from + random.below(packed.length - from);
      const bytes = Buffer.from(packed);
      bytes[at] = (bytes[at] ?? 0) ^ (1 + random.below(255));
      await isFound(bytes, `byte ${at} of the compressed one`);
      await isFound(packed.subarray(0, at), `the compressed one cut to ${at} bytes`);
    }
  });

  test('split, with a part altered, cut short, missing or in the place of another, is found out by its name', async () => {
    const { openArchive } = await import('../../../src/transfer/transports/archives/open-archive.js');
    const [first = '', second = ''] = split.names;
    const original = await readFile(join(work, second));
    const other = await readFile(join(work, first));
    const altered = Buffer.from(original);
    altered[17] = (altered[17] ?? 0) ^ 1;
    const rows: readonly [Buffer | undefined, string, string][] = [
      [altered, 'DIGEST_MISMATCH', 'damaged'],
      [original.subarray(1), 'BAD_ARCHIVE', 'of another size'],
      [other, 'DIGEST_MISMATCH', 'damaged'],
      [undefined, 'BAD_ARCHIVE', 'missing'],
    ];
    for (const [bytes, code, fault] of rows) {
      await rm(join(work, second));
      if (bytes !== undefined) await writeFile(join(work, second), bytes);
      const opening = openArchive({ file: split.file });
      await expect(opening).rejects.toMatchObject({
        code,
        message: expect.stringContaining(fault) as string,
      });
      await expect(opening).rejects.toMatchObject({ message: expect.stringContaining(second) as string });
      if (bytes === undefined) await writeFile(join(work, second), original);
    }
    await writeFile(join(work, second), original);
    expect(await proofOf(split.file)).toBe('whole');
  });
});
