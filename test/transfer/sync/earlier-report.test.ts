import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Digest } from '../../../src/spec/index.js';
import {
  EarlierReport,
  readEarlierReport,
  type SyncedImage,
} from '../../../src/transfer/sync/sync-result.js';

const digest = (digit: string): Digest => `sha256:${digit.repeat(64)}` as Digest;

const REPORT = {
  version: 1,
  dryRun: false,
  images: [
    {
      name: 'mirror.lan/app:1',
      digest: digest('1'),
      outcome: 'copied',
      contents: [
        { digest: digest('1'), mediaType: 'm', size: 10, outcome: 'copied' },
        { digest: digest('a'), mediaType: 'l', size: 20, outcome: 'left-out' },
      ],
    },
    { name: 'mirror.lan/app:2', digest: digest('2'), outcome: 'exists', contents: [] },
    { name: 'mirror.lan/app:3', digest: digest('3'), outcome: 'failed', contents: [], error: {} },
  ],
};

describe('the report of an earlier run', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'landfall-report-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  async function written(content: unknown): Promise<string> {
    const file = join(await mkdtemp(join(directory, 'r-')), 'report.json');
    await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
    return file;
  }

  test('tells what the far side has', async () => {
    const report = await readEarlierReport(await written(REPORT));
    expect(report?.has('mirror.lan/app:1', digest('1'))).toBe(true);
    expect(report?.has('mirror.lan/app:1', digest('2'))).toBe(false);
    expect(report?.has('mirror.lan/app:3', digest('3'))).toBe(false);
    expect([...(report?.digests ?? new Map())].sort()).toEqual([
      [digest('1'), 'mirror.lan/app'],
      [digest('2'), 'mirror.lan/app'],
      [digest('a'), 'mirror.lan/app'],
    ]);
    expect(report?.dryRun).toBe(false);
  });

  test('adds up, with the deliveries that it tells of in their order', async () => {
    const first = { ...REPORT, finishedAt: 'day 1', written: ['oci-archive:/media/images.tar'], base: [] };
    const second = {
      images: [{ name: 'mirror.lan/other:1', digest: digest('5'), outcome: 'copied', contents: [] }],
      finishedAt: 'day 2',
      written: ['oci-archive:/media/delta.tar', 'docker://mirror.lan'],
      base: [{ name: 'images.tar', written: 'day 1' }],
    };
    const reports = [];
    for (const one of [first, second]) reports.push(await readEarlierReport(await written(one)));
    const all = EarlierReport.of(reports.filter((one) => one !== undefined));
    expect(all.has('mirror.lan/app:1', digest('1'))).toBe(true);
    expect(all.has('mirror.lan/other:1', digest('5'))).toBe(true);
    expect(all.digests.get(digest('a'))).toBe('mirror.lan/app');
    expect(all.digests.get(digest('5'))).toBe('mirror.lan/other');
    expect(all.base).toEqual([
      { name: 'images.tar', written: 'day 1' },
      { name: 'delta.tar', written: 'day 2' },
      { name: 'docker://mirror.lan', written: 'day 2' },
    ]);
    expect((await readEarlierReport(await written(REPORT)))?.base).toEqual([
      { name: 'report.json', written: '' },
    ]);
  });

  test('completes what is known of an image that did not change', async () => {
    const report = await readEarlierReport(await written(REPORT));
    const image: SyncedImage = {
      source: 's',
      destination: 'd',
      name: 'mirror.lan/app:1',
      target: { mediaType: 'm', digest: digest('1'), size: 10 },
      outcome: 'exists',
      bytes: 0,
      contents: [{ digest: digest('1'), mediaType: 'm', size: 10, outcome: 'exists' }],
      omitted: [],
      referrers: [],
    };
    expect(report?.complete(image).contents).toEqual([
      { digest: digest('1'), mediaType: 'm', size: 10, outcome: 'exists' },
      { digest: digest('a'), mediaType: 'l', size: 20, outcome: 'known' },
    ]);
    const changed = { ...image, target: { mediaType: 'm', digest: digest('9'), size: 10 } };
    expect(report?.complete(changed)).toBe(changed);
    const failed: SyncedImage = { ...image, outcome: 'failed' };
    expect(report?.complete(failed)).toBe(failed);
  });

  test('may not be there', async () => {
    expect(await readEarlierReport(join(directory, 'none.json'))).toBeUndefined();
  });

  test.each<[string, unknown, string]>([
    ['what is not JSON', 'sources: []', 'is not JSON'],
    ['another document', { images: 3 }, 'is not the report of a sync'],
    ['a list', [], 'is not the report of a sync'],
    ['an image without a name', { images: [{}] }, 'has an image without a name'],
    [
      'content without a digest',
      { images: [{ name: 'x', digest: digest('1'), contents: [{}] }] },
      'has content without a digest',
    ],
  ])('%s is refused', async (_name, content, message) => {
    const file = await written(content);
    await expect(readEarlierReport(file)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: `${file} ${message}`,
    });
  });

  test('a digest that is none is refused', async () => {
    const file = await written({ images: [{ name: 'x', digest: 'sha256:1' }] });
    await expect(readEarlierReport(file)).rejects.toMatchObject({ code: 'INVALID_DIGEST' });
  });
});
