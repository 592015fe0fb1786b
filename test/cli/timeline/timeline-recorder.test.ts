import { describe, expect, it } from 'vitest';
import { TimelineRecorder } from '../../../src/cli/timeline/timeline-recorder.js';
import type { LayerStep, Timeline } from '../../../src/cli/timeline/timeline.js';
import { blob, image, NAME, resolving, testLayers } from '../pull-events.js';
import { largePull, timelineOf, type ReportedLayer } from './told-pull.js';

const APP = 'quay.io/team/app:1';

function stepsOf(
  layer: ReportedLayer,
  below: readonly ReportedLayer[] = [],
  done?: number,
): readonly string[] {
  const timeline = timelineOf({
    reference: APP,
    resolved: 10,
    manifests: 20,
    layers: [...below, layer],
    ...(done === undefined ? { failed: [1000, 'failed', 'no'] as const } : { done }),
  });
  return layersOf(timeline).at(-1)?.steps.map(written) ?? [];
}

function layersOf({ pulls }: Timeline): Timeline['pulls'][number]['layers'] {
  return pulls[0]?.layers ?? [];
}

function written({ kind, waitedFor, start, end, open }: LayerStep): string {
  const name = waitedFor === undefined ? kind : `${kind} for ${waitedFor}`;
  return `${name} ${start} to ${end}${open === true ? ', open' : ''}`;
}

describe('what happened to a layer', () => {
  const size = 1000;
  it.each<[string, ReportedLayer, ReportedLayer[], number | undefined, string[]]>([
    [
      'is downloaded and unpacked at once',
      { size, waiting: 20, downloading: 50, unpacking: 60, here: 400, unpacked: 420, committed: 430 },
      [],
      500,
      ['wait for download 20 to 50', 'download 50 to 400', 'unpack 60 to 420', 'commit 420 to 430'],
    ],
    [
      'waits for a thread, and for the layer below',
      { size, downloading: 20, here: 100, unpacking: 150, unpacked: 200, committed: 610 },
      [{ size, downloading: 20, here: 500, unpacking: 30, unpacked: 600, committed: 610 }],
      700,
      [
        'download 20 to 100',
        'wait for unpack 100 to 150',
        'unpack 150 to 200',
        'wait for parents 200 to 600',
        'commit 600 to 610',
      ],
    ],
    [
      'is brought and unpacked by another pull',
      { size, waiting: 20, elsewhere: 30, present: 300, reused: 400 },
      [],
      500,
      ['wait for download 20 to 30', 'elsewhere 30 to 300', 'wait for unpack 300 to 400'],
    ],
    ['was here already', { size, present: 20, reused: 20 }, [], 30, []],
    [
      'breaks twice: it is one download',
      {
        size,
        downloading: 20,
        retries: [
          [100, 200],
          [300, 310],
        ],
        here: 400,
        unpacking: 30,
        unpacked: 410,
        committed: 411,
      },
      [],
      500,
      ['download 20 to 400', 'unpack 30 to 410', 'commit 410 to 411'],
    ],
    [
      'was on its way when the pull failed',
      { size, downloading: 20, unpacking: 30 },
      [],
      undefined,
      ['download 20 to 1000, open', 'unpack 30 to 1000, open'],
    ],
    [
      'waited for one below it that never came',
      { size, downloading: 20, here: 100, unpacking: 30, unpacked: 110 },
      [{ size, downloading: 20 }],
      undefined,
      ['download 20 to 100', 'unpack 30 to 110', 'wait for parents 110 to 1000, open'],
    ],
    [
      'waited for its turn when the pull failed',
      { size, waiting: 20 },
      [],
      undefined,
      ['wait for download 20 to 1000, open'],
    ],
  ])('that %s', (_, layer, below, done, expected) => {
    expect(stepsOf(layer, below, done)).toEqual(expected);
  });

  it('with the pauses of a download beside it', () => {
    const layer = {
      size,
      downloading: 20,
      retries: [
        [100, 200],
        [300, 310],
      ],
      here: 400,
    } as const;
    const [timed] = layersOf(
      timelineOf({ reference: APP, resolved: 10, manifests: 20, layers: [layer], done: 500 }),
    );
    expect(timed?.retries).toEqual([
      { start: 100, end: 200 },
      { start: 300, end: 310 },
    ]);
  });

  it('of what was resumed only the rest', () => {
    const layer = { size: 1000, downloading: 20, resumed: 600, here: 400 };
    const timeline = timelineOf({ reference: APP, resolved: 10, manifests: 20, layers: [layer], done: 500 });
    expect(layersOf(timeline)[0]?.bytes).toBe(400);
    // The manifests came, too.
    expect(timeline.throughput.bytes.reduce((sum, bytes) => sum + bytes, 0)).toBe(400 + 500 + 900);
  });
});

describe('the clock', () => {
  it('is one for all pulls', () => {
    const { pulls, end } = timelineOf(
      { reference: APP, resolved: 10, manifests: 20, done: 100 },
      { reference: NAME, begun: 40, resolved: 60, manifests: 70, done: 200 },
    );
    expect(pulls.map(({ start, resolve, end: until }) => [start, resolve?.end, until])).toEqual([
      [0, 10, 100],
      [40, 60, 200],
    ]);
    expect(end).toBe(200);
  });

  it('begins for a pull that was under way when it was asked for', () => {
    let now = 500;
    const recorder = new TimelineRecorder(() => now);
    const layers = testLayers(1000);
    const [layer] = layers;
    if (layer === undefined) throw new Error('no layer');
    recorder.add({ ...image(layers), at: 60_000 });
    now = 600;
    recorder.add(blob(layer, 'done', 1000, 60_100));
    recorder.add({ reference: NAME, at: 60_150, type: 'done', digest: layer.digest, bytesDownloaded: 0 });
    expect(recorder.timeline().pulls[0]).toMatchObject({ start: 0, end: 150 });
  });

  it('puts what was told late where it happened', () => {
    const recorder = new TimelineRecorder(() => 0);
    const layers = testLayers(1000);
    const [layer] = layers;
    if (layer === undefined) throw new Error('no layer');
    recorder.add(resolving());
    recorder.add({ ...image(layers), at: 50 });
    recorder.add({ ...blob(layer, 'downloading', 0, 50), heldMs: 30 } as never);
    recorder.add(blob(layer, 'done', 1000, 90));
    expect(layersOf(recorder.timeline())[0]?.steps.map(written)).toEqual(['download 20 to 90']);
  });

  it('goes on for a pull that has not ended', () => {
    let now = 0;
    const recorder = new TimelineRecorder(() => now);
    recorder.add(resolving());
    now = 70;
    expect(recorder.timeline().pulls[0]).toMatchObject({ outcome: 'running', end: 70 });
  });
});

it('keeps no more of a connection that breaks all day', () => {
  const retries = Array.from({ length: 20_000 }, (_, n) => [100 + 20 * n, 110 + 20 * n] as const);
  const layer = { size: 1000, downloading: 20, retries, here: 500_000 };
  const timeline = timelineOf({
    reference: APP,
    resolved: 10,
    manifests: 20,
    layers: [layer],
    done: 500_001,
  });
  expect(layersOf(timeline)[0]?.retries.length).toBeLessThanOrEqual(2000);
  expect(timeline.throughput.bytes.length).toBeLessThanOrEqual(2048);
});

it('counts every byte, however long it takes', () => {
  const timeline = timelineOf(largePull(APP, 30, { scale: 5000 }));
  const brought = layersOf(timeline).reduce((sum, { bytes }) => sum + bytes, 0);
  const counted = timeline.throughput.bytes.reduce((sum, bytes) => sum + bytes, 0);
  // The manifests came, too.
  expect(counted).toBe(brought + 500 + 900);
  expect(timeline.throughput.interval * timeline.throughput.bytes.length).toBeGreaterThan(timeline.end / 2);
});
