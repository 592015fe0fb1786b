import { describe, expect, test } from 'vitest';
import { renderPullSummary } from '../../src/cli/render-pull-summary.js';
import type { PullResult } from '../../src/engine/pull-result.js';
import { NAME, TARGET, testLayers } from './pull-events.js';

function resultOf(reused: boolean[], change: Partial<PullResult> = {}): PullResult {
  const layers = testLayers(...reused.map(() => 1000)).map((layer, at) => ({
    ...layer,
    reused: reused[at] ?? false,
    discarded: false,
  }));
  return {
    reference: NAME,
    digest: TARGET,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    platform: { os: 'linux', architecture: 'arm64' },
    imageId: TARGET,
    chainId: TARGET,
    layers,
    bytesDownloaded: 0,
    omittedDevices: [],
    bytesDiscarded: 0,
    resolveMs: 200,
    fetchMs: 0,
    unpackMs: 0,
    ...change,
  };
}

describe('what a pull says at its end', () => {
  test.each<[string, PullResult, string[]]>([
    [
      'something new',
      resultOf([true, false, false], { bytesDownloaded: 45_000_000, fetchMs: 3000, unpackMs: 4000 }),
      [
        'layers    2 new, 1 already present',
        'download  45.0 MB in 3.0 s, 15.0 MB/s',
        'time      4.2 s (resolve 200 ms, unpack 4.0 s)',
      ],
    ],
    [
      'nothing to do',
      resultOf([true, true]),
      ['up to date: nothing was downloaded (2 layers already present, 200 ms)'],
    ],
    [
      'here already, to be unpacked',
      resultOf([false, false], { unpackMs: 1000 }),
      [
        'layers    2 new, 0 already present',
        'download  up to date: nothing was downloaded',
        'time      1.2 s (resolve 200 ms, unpack 1.0 s)',
      ],
    ],
  ])('%s', (_, result, lines) => {
    const head = [NAME, `  digest    ${TARGET}`, '  platform  linux/arm64'];
    expect(renderPullSummary(result)).toBe(
      [...head, ...lines.map((line) => `  ${line}`)].map((line) => `${line}\n`).join(''),
    );
  });

  test.each([
    [
      'a new image',
      [false, false],
      45_000_000,
      /time[^\n]*\n {2}freed {5}2\.0 kB of disk: 2 layers kept unpacked only\n$/,
    ],
    [
      'what was here',
      [true, true],
      0,
      /up to date[^\n]*\n {2}freed {5}2\.0 kB of disk: 2 layers kept unpacked only\n$/,
    ],
  ])('how much disk was given back, of %s', (_, reused, bytesDownloaded, said) => {
    const result = resultOf(reused, { bytesDownloaded, bytesDiscarded: 2000 });
    const layers = result.layers.map((layer) => ({ ...layer, discarded: true }));
    expect(renderPullSummary({ ...result, layers })).toMatch(said);
  });

  test('without unpacking its time is not told', () => {
    const { chainId, ...result } = resultOf([false], { bytesDownloaded: 10, fetchMs: 50 });
    expect(chainId).toBe(TARGET);
    expect(renderPullSummary(result)).toMatch(
      /download {2}10 B in 50 ms\n {2}time {6}250 ms \(resolve 200 ms\)\n$/,
    );
  });
});
