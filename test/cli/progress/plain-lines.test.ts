import { expect, test } from 'vitest';
import { heartbeatLine, plainLines } from '../../../src/cli/progress/plain-display.js';
import { emptyPullModel, type ProgressEvent, reducePull } from '../../../src/cli/progress/pull-model.js';
import { shortDigest } from '../../../src/spec/index.js';
import {
  blob,
  done,
  image,
  modelAfter,
  NAME,
  resolved,
  resolving,
  TARGET,
  testLayers,
  unpack,
} from '../pull-events.js';

const [first, second] = testLayers(31_400_000, 45_000_000);
if (first === undefined || second === undefined) throw new Error('no layers');

function linesOf(events: readonly ProgressEvent[]): string[] {
  let model = emptyPullModel({ unpack: true });
  return events.flatMap((event) => {
    const before = model;
    model = reducePull(before, event);
    return plainLines(before, model, event);
  });
}

test('one line for each change that matters', () => {
  const lines = linesOf([
    resolving(),
    resolved(),
    image([first, second]),
    blob(first, 'waiting'),
    blob(second, 'waiting'),
    blob(first, 'downloading', 0),
    blob(first, 'downloading', 10_000_000),
    unpack(first, 'unpacking', 9_000_000),
    blob(first, 'downloading', 20_000_000),
    blob(first, 'retrying', 20_000_000),
    blob(first, 'downloading', 20_000_000),
    blob(first, 'done'),
    unpack(first, 'unpacked'),
    unpack(first, 'committed'),
    blob(second, 'elsewhere', 1_000_000),
    blob(second, 'elsewhere', 2_000_000),
    blob(second, 'present'),
    unpack(second, 'present'),
    done(31_400_000),
  ]);
  const short = shortDigest(first.digest);
  expect(lines).toEqual(
    [
      'resolving',
      `resolved ${TARGET}`,
      'linux/amd64, 2 layers, 76.4 MB',
      `layer ${short}: downloading 31.4 MB`,
      `layer ${short}: retrying at 20.0/31.4 MB`,
      `layer ${short}: downloading, 20.0/31.4 MB are here`,
      `layer ${short}: done`,
      `layer ${shortDigest(second.digest)}: another pull is bringing it`,
      'done: 2 layers (1 new, 1 already present), 31.4 MB downloaded',
    ].map((line) => `${NAME}: ${line}`),
  );
});

test('an image that is here is worth one line', () => {
  const here = [first, second].flatMap((layer) => [blob(layer, 'present'), unpack(layer, 'present')]);
  const lines = linesOf([resolved(), image([first, second]), ...here, done(0)]);
  expect(lines.slice(2)).toEqual([`${NAME}: up to date`]);
});

test('a failure is told', () => {
  expect(linesOf([resolving(), { type: 'failed', reference: NAME }]).at(-1)).toBe(`${NAME}: failed`);
});

test('a sign of life', () => {
  const model = modelAfter([resolved(), image([first, second]), blob(first, 'downloading', 11_400_000)]);
  expect(heartbeatLine(model, 1_200_000)).toBe(`${NAME}: 11.4/76.4 MB, 0 of 2 layers done, 1.2 MB/s`);
});

test('of several images: the ends are counted, and a sign of life is of all together', () => {
  const other = 'quay.io/team/app:1';
  const before = modelAfter([resolved(), resolving(other)], { unpack: true, images: 3 });
  const failed: ProgressEvent = { type: 'failed', reference: other };
  const after = reducePull(before, failed);
  expect(plainLines(before, after, failed)).toEqual([`[1/3] ${other}: failed`]);
  const images = [
    ...[image([first, second]), blob(first, 'downloading', 11_400_000)],
    ...[image([first], other), blob(first, 'elsewhere', 11_000_000, 100, other)],
  ];
  expect(heartbeatLine(images.reduce(reducePull, before), 1_200_000)).toBe(
    '0 of 3 images, 11.4/76.4 MB, 0 of 2 layers done, 1.2 MB/s',
  );
  expect(heartbeatLine(before, 0)).toBeUndefined();
});
