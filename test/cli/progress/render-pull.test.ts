import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { shortDigest } from '../../../src/spec/index.js';
import { type ProgressEvent, reducePull } from '../../../src/cli/progress/pull-model.js';
import { renderPulls, type RenderOptions } from '../../../src/cli/progress/render-pull.js';
import {
  blob,
  done,
  image,
  modelAfter,
  NAME,
  resolved,
  resolving,
  testLayers,
  unpack,
} from '../pull-events.js';

const PLAIN: RenderOptions = { width: 80, height: 24, now: 1000, unicode: false, color: false };

/** Three layers: one here and unpacked, one half downloaded and a quarter unpacked, one waiting. */
function midway(): ProgressEvent[] {
  const layers = testLayers(31_400_000, 45_000_000, 999_000);
  const [first, second, third] = layers;
  if (first === undefined || second === undefined || third === undefined) throw new Error('no layers');
  return [
    resolving(),
    resolved(),
    image(layers),
    blob(first, 'done'),
    unpack(first, 'committed'),
    blob(second, 'downloading', 0, 0),
    blob(second, 'downloading', 22_500_000, 1000),
    unpack(second, 'unpacking', 11_250_000),
    blob(third, 'waiting'),
  ];
}

function shorts(count: number): string[] {
  return testLayers(...Array.from({ length: count }, () => 1)).map(({ digest }) => shortDigest(digest));
}

describe('what a terminal shows', () => {
  const [a = '', b = '', c = ''] = shorts(3);

  test('at 80 columns: bar, sizes, rate and state', () => {
    expect(renderPulls(modelAfter(midway()), PLAIN)).toEqual([
      `${NAME}  1/3 layers  53.9/77.4 MB  22.5 MB/s`,
      `  ${a}  [###################]       31.4 MB             done`,
      `  ${b}  [####=====..........]  22.5/45.0 MB  22.5 MB/s  downloading`,
      `  ${c}  [...................]        999 kB             waiting`,
    ]);
  });

  test('at 60 columns: without the rate', () => {
    expect(renderPulls(modelAfter(midway()), { ...PLAIN, width: 60 })).toEqual([
      `${NAME}  1/3 layers  53.9/77.4 MB`,
      `  ${a}  [##########]       31.4 MB  done`,
      `  ${b}  [##===.....]  22.5/45.0 MB  downloading`,
      `  ${c}  [..........]        999 kB  waiting`,
    ]);
  });

  test('at 200 columns: both things that a layer does', () => {
    const bar = `${'#'.repeat(10)}${'='.repeat(10)}${'.'.repeat(20)}`;
    expect(renderPulls(modelAfter(midway()), { ...PLAIN, width: 200 }).at(2)).toBe(
      `  ${b}  [${bar}]  22.5/45.0 MB  22.5 MB/s  downloading, unpacking`,
    );
  });

  test('what another pull brings: how far it is, and how fast', () => {
    const [layer] = testLayers(45_000_000);
    if (layer === undefined) throw new Error('no layer');
    const events = [blob(layer, 'elsewhere', 0, 0), blob(layer, 'elsewhere', 22_500_000, 1000)];
    const model = modelAfter([resolved(), image([layer]), ...events]);
    const bar = `${'='.repeat(10)}${'.'.repeat(10)}`;
    expect(renderPulls(model, PLAIN)).toEqual([
      `${NAME}  0/1 layer  22.5/45.0 MB  linux/amd64`,
      `  ${a}  [=========..........]  22.5/45.0 MB  22.5 MB/s  elsewhere`,
    ]);
    expect(renderPulls(model, { ...PLAIN, width: 200 }).at(1)).toBe(
      `  ${a}  [${bar.slice(0, 10).repeat(2)}${'.'.repeat(20)}]  22.5/45.0 MB  22.5 MB/s  another pull brings it`,
    );
  });

  test('in a UTF-8 locale: block characters', () => {
    expect(renderPulls(modelAfter(midway()), { ...PLAIN, unicode: true }).at(2)).toContain(
      '[████▒▒▒▒▒··········]',
    );
  });

  test('colours change no column', () => {
    const colored = renderPulls(modelAfter(midway()), { ...PLAIN, color: true });
    expect(colored.join('')).toContain('\u001b[');
    expect(colored.map((line) => stripVTControlCharacters(line))).toEqual(
      renderPulls(modelAfter(midway()), PLAIN),
    );
  });

  test.each<[string, ProgressEvent[], string]>([
    ['resolving', [resolving()], `${NAME}  resolving`],
    ['before the image is known', [resolved()], `${NAME}  reading the manifest`],
    ['failed', [resolved(), { type: 'failed', reference: NAME }], `${NAME}  failed`],
    ['done', [...midway(), done(77_400_000)], `${NAME}  done  77.4 MB downloaded  3 layers`],
    ['nothing to do', [...midway(), done(0)], `${NAME}  up to date  3 layers  linux/amd64`],
  ])('the head of an image: %s', (_, events, head) => {
    expect(renderPulls(modelAfter(events), PLAIN)[0]).toBe(head);
  });

  test.each<[string, ProgressEvent[], string]>([
    ['unpacking', [blob(only(), 'done'), unpack(only(), 'unpacking', 630)], 'unpacking 63%'],
    ['waiting for the commit', [blob(only(), 'done'), unpack(only(), 'unpacked')], 'committing'],
    ['already there', [blob(only(), 'present'), unpack(only(), 'present')], 'already present'],
    ['retrying', [blob(only(), 'retrying', 5)], 'retrying'],
    ['brought by another pull', [blob(only(), 'elsewhere', 5)], 'elsewhere'],
    ['downloaded', [blob(only(), 'done')], 'downloaded'],
    ['cut off', [blob(only(), 'downloading', 5), { type: 'failed', reference: NAME }], 'stopped'],
  ])('the state of a layer: %s', (_, events, label) => {
    const lines = renderPulls(modelAfter([resolved(), image([only()]), ...events]), PLAIN);
    expect(lines.at(1)).toMatch(new RegExp(`  ${label}$`));
  });
});

describe('several images', () => {
  const [shared, own] = testLayers(10_000_000, 30_000_000);
  if (shared === undefined || own === undefined) throw new Error('no layers');
  const other = 'quay.io/team/app:1';
  const events = [
    ...[resolved(), image([shared, own]), resolved(other), image([shared], other)],
    ...[blob(shared, 'downloading', 0, 0), blob(shared, 'downloading', 5_000_000, 1000)],
    blob(shared, 'elsewhere', 5_000_000, 1000, other),
    ...[blob(own, 'done'), unpack(own, 'committed')],
  ];
  const model = modelAfter(events, { unpack: true, images: 3 });

  test('a last line for all of them, in which what they share counts once', () => {
    expect(renderPulls(model, PLAIN).at(-1)).toBe('0 of 3 images  1/2 layers  35.0/40.0 MB  5.0 MB/s');
    const failed: ProgressEvent = { type: 'failed', reference: other };
    expect(renderPulls(reducePull(model, failed), PLAIN).at(-1)).toMatch(/^0 of 3 images, 1 failed {2}/);
  });

  test.each([1, 2, 3, 4, 5])('the line stays where there are %d rows', (height) => {
    const lines = renderPulls(model, { ...PLAIN, height });
    expect(lines.at(-1)).toMatch(/^0 of 3 images/);
    expect(lines.length).toBeLessThanOrEqual(Math.max(1, height - 1));
  });

  test('a single image has none', () => {
    expect(renderPulls(modelAfter([resolved(), image([own])]), PLAIN)).toHaveLength(2);
  });
});

describe('whatever the size of the terminal', () => {
  const layers = testLayers(...Array.from({ length: 40 }, (_, at) => (at + 1) * 1_234_567));
  const events: ProgressEvent[] = [
    resolved(),
    image(layers),
    ...layers.slice(0, 10).flatMap((layer) => [blob(layer, 'done'), unpack(layer, 'committed')]),
    ...layers.slice(10, 15).map((layer) => blob(layer, 'downloading', 1_000_000)),
    resolving(
      'quay.io/a/very/long/name/of/an/image/that/fits/on/no/narrow/terminal/at/all:with-a-long-tag-too',
    ),
  ];

  test.each([
    [20, 5],
    [40, 10],
    [60, 24],
    [80, 24],
    [80, 2],
    [80, 1],
    [200, 60],
    [10, 3],
  ])('%d × %d: no line reaches the last column, and the last line is free', (width, height) => {
    for (const unicode of [true, false]) {
      const lines = renderPulls(modelAfter(events), { ...PLAIN, width, height, unicode });
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(width);
      expect(lines.length).toBeLessThanOrEqual(Math.max(1, height - 1));
    }
  });

  test('what moves stays, the rest is counted', () => {
    const lines = renderPulls(modelAfter(events), { ...PLAIN, height: 12 });
    expect(lines).toHaveLength(11);
    expect(lines.filter((line) => line.endsWith('downloading'))).toHaveLength(5);
    expect(lines.at(-2)).toBe('  and 33 more layers: 10 done, 23 waiting');
    expect(lines.at(-1)).toMatch(/^0 of 2 images {2}10\/40 layers {2}/);
  });

  test('images that do not fit are counted too', () => {
    const many = Array.from({ length: 9 }, (_, at) => resolving(`image-${at}`));
    expect(renderPulls(modelAfter(many), { ...PLAIN, height: 6 }).at(-2)).toBe('  and 6 more images');
  });
});

function only(): ReturnType<typeof testLayers>[number] {
  const [layer] = testLayers(1000);
  if (layer === undefined) throw new Error('no layer');
  return layer;
}
