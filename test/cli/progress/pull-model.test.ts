import { describe, expect, test } from 'vitest';
import {
  downloadedBytes,
  emptyPullModel,
  layerState,
  type ProgressEvent,
  pullTotals,
  reducePull,
} from '../../../src/cli/progress/pull-model.js';
import { digestOf } from '../../../src/spec/index.js';
import {
  blob,
  done,
  image,
  modelAfter,
  NAME,
  onlyPull,
  resolved,
  resolving,
  testLayers,
  unpack,
} from '../pull-events.js';

const [layer] = testLayers(1000);
if (layer === undefined) throw new Error('no layer');

describe('the state of a layer', () => {
  test.each<[string, ProgressEvent[], string, number]>([
    ['nothing was said of it', [], 'waiting', 0],
    ['it waits for its turn', [blob(layer, 'waiting')], 'waiting', 0],
    [
      'another pull brings it, and this one waits',
      [blob(layer, 'waiting'), blob(layer, 'elsewhere', 400)],
      'elsewhere',
      400,
    ],
    ['it takes over', [blob(layer, 'elsewhere', 400), blob(layer, 'downloading', 400)], 'downloading', 400],
    ['another pull brought it', [blob(layer, 'elsewhere', 400), blob(layer, 'present')], 'waiting', 1000],
    [
      'another pull brings it, and it is unpacked',
      [blob(layer, 'elsewhere', 400), unpack(layer, 'unpacking', 5)],
      'unpacking',
      400,
    ],
    ['bytes come', [blob(layer, 'downloading', 300)], 'downloading', 300],
    [
      'bytes come and are unpacked',
      [blob(layer, 'downloading', 300), unpack(layer, 'unpacking', 200)],
      'downloading',
      300,
    ],
    ['it broke off', [blob(layer, 'downloading', 300), blob(layer, 'retrying', 300)], 'retrying', 300],
    ['it goes on', [blob(layer, 'retrying', 300), blob(layer, 'downloading', 400)], 'downloading', 400],
    ['it is here', [blob(layer, 'done', 0)], 'downloaded', 1000],
    [
      'it is here and unpacked yet',
      [blob(layer, 'done'), unpack(layer, 'unpacking', 500)],
      'unpacking',
      1000,
    ],
    ['it was here, to be unpacked', [blob(layer, 'present')], 'waiting', 1000],
    [
      'it was here and is unpacked',
      [blob(layer, 'present'), unpack(layer, 'unpacking', 5)],
      'unpacking',
      1000,
    ],
    ['another pull brings it', [blob(layer, 'waiting'), unpack(layer, 'unpacking', 5)], 'unpacking', 0],
    ['it waits for its parents', [blob(layer, 'done'), unpack(layer, 'unpacked')], 'unpacked', 1000],
    ['it is a snapshot now', [blob(layer, 'done'), unpack(layer, 'committed')], 'done', 1000],
    ['it was a snapshot', [blob(layer, 'present'), unpack(layer, 'present')], 'present', 1000],
  ])('%s', (_, events, state, bytes) => {
    const model = modelAfter([resolved(), image([layer]), ...events]);
    const pull = onlyPull(model);
    const [shown] = pull.layers;
    if (shown === undefined) throw new Error('no layer');
    expect(layerState(model, pull, shown)).toBe(state);
    expect(downloadedBytes(pull, shown)).toBe(bytes);
  });

  test.each<[string, ProgressEvent[], string]>([
    ['done with its blob', [blob(layer, 'done')], 'done'],
    ['present with its blob', [blob(layer, 'present')], 'present'],
  ])('without unpacking it is %s', (_, events, state) => {
    const model = modelAfter([resolved(), image([layer]), ...events], { unpack: false });
    const pull = onlyPull(model);
    expect(pull.layers.map((shown) => layerState(model, pull, shown))).toEqual([state]);
  });
});

describe('the state of a pull', () => {
  test.each<[string, ProgressEvent[], string]>([
    ['resolving', [resolving()], 'resolving'],
    ['pulling', [resolving(), resolved()], 'pulling'],
    ['done', [resolving(), resolved(), done(5)], 'done'],
    ['failed', [resolving(), { type: 'failed', reference: NAME }], 'failed'],
  ])('%s', (_, events, phase) => {
    expect(onlyPull(modelAfter(events)).phase).toBe(phase);
  });

  test('pulls stand in the order in which they spoke', () => {
    const model = modelAfter([resolving('b'), resolving('a'), resolved('b')]);
    expect(model.pulls.map(({ reference, phase }) => [reference, phase])).toEqual([
      ['b', 'pulling'],
      ['a', 'resolving'],
    ]);
  });

  test('two layers with one digest have one download and a snapshot each', () => {
    const [lower, upper] = testLayers(10, 20);
    if (lower === undefined || upper === undefined) throw new Error('no layers');
    const twice = [lower, { ...upper, digest: lower.digest, size: 10 }];
    const model = modelAfter([resolved(), image(twice), blob(lower, 'done'), unpack(lower, 'committed')]);
    const pull = onlyPull(model);
    expect(pull.layers.map((shown) => layerState(model, pull, shown))).toEqual(['done', 'downloaded']);
  });

  test('totals count the layers of other platforms too', () => {
    const [own, other] = testLayers(100, 200);
    if (own === undefined || other === undefined) throw new Error('no layers');
    const config = {
      ...blob({ digest: digestOf(Buffer.from('config')), size: 7 }, 'done'),
      role: 'config',
    } as const;
    const model = modelAfter([
      resolved(),
      image([own]),
      config,
      blob(own, 'downloading', 40),
      blob(other, 'present'),
    ]);
    expect(pullTotals(model, onlyPull(model))).toEqual({
      layers: 2,
      settled: 1,
      present: 1,
      bytes: 240,
      size: 300,
    });
  });
});

test('the model before an event stays as it was', () => {
  const before = modelAfter([resolved(), image([layer])]);
  const copy = structuredClone(before);
  reducePull(before, blob(layer, 'downloading', 5));
  reducePull(before, unpack(layer, 'committed'));
  reducePull(before, done(5));
  expect(before).toEqual(copy);
  expect(emptyPullModel({ unpack: true }).pulls).toEqual([]);
});
