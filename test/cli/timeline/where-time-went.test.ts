import { describe, expect, it } from 'vitest';
import {
  longestStep,
  type PullStep,
  stepWords,
  type TimedPull,
  whereTimeWent,
} from '../../../src/cli/timeline/timeline.js';
import { timelineHeadline } from '../../../src/cli/timeline/timeline-headline.js';
import { largePull, timelineOf, type ReportedPull } from './told-pull.js';

const APP = 'quay.io/team/app:1';
const size = 1000;

/**
 * Its first layer is small, its second one waits for a connection, and is unpacked for longer than it
 * downloads.
 */
const SLOW: ReportedPull = {
  reference: APP,
  resolved: 100,
  manifests: 250,
  layers: [
    { size, waiting: 250, downloading: 260, here: 300, unpacking: 270, unpacked: 310, committed: 320 },
    { size, waiting: 250, downloading: 400, here: 600, unpacking: 410, unpacked: 1500, committed: 1530 },
    { size, waiting: 250, downloading: 260, here: 300, unpacking: 270, unpacked: 310, committed: 1530 },
  ],
  done: 1600,
};

function onlyPull(reported: ReportedPull): TimedPull {
  const [pull] = timelineOf(reported).pulls;
  if (pull === undefined) throw new Error('there is no pull');
  return pull;
}

const written = (step: PullStep): string => `${stepWords(step)} ${step.start} to ${step.end}`;

describe('where the time went', () => {
  it.each<[string, ReportedPull, string[]]>([
    [
      'of a pull that was kept waiting by one layer',
      SLOW,
      [
        'asking what the name stands for 0 to 100',
        'fetching manifests and config 100 to 250',
        'waiting to download layer 2 250 to 400',
        'downloading layer 2 400 to 600',
        'unpacking layer 2 600 to 1500',
        'committing layer 3 1500 to 1530',
        'recording the image 1530 to 1600',
      ],
    ],
    [
      'of one that failed while it downloaded',
      {
        reference: APP,
        resolved: 100,
        manifests: 200,
        layers: [
          { size, downloading: 200, here: 300, unpacking: 210, unpacked: 310 },
          { size, downloading: 250, unpacking: 260 },
          { size, waiting: 200 },
        ],
        failed: [900, 'failed', 'no'],
      },
      [
        'asking what the name stands for 0 to 100',
        'fetching manifests and config 100 to 250',
        'downloading layer 2 250 to 900',
      ],
    ],
    [
      'of one that had nothing to do',
      { reference: APP, resolved: 100, layers: [], done: 130 },
      ['asking what the name stands for 0 to 100', 'checking the store and the policy 100 to 130'],
    ],
    [
      'of one that failed at once',
      { reference: APP, failed: [40, 'failed', 'no'] },
      ['asking what the name stands for 0 to 40'],
    ],
    [
      'of one that another pull worked for',
      {
        reference: APP,
        resolved: 10,
        manifests: 20,
        layers: [{ size, waiting: 20, elsewhere: 30, present: 300, reused: 400 }],
        done: 410,
      },
      [
        'asking what the name stands for 0 to 10',
        'fetching manifests and config 10 to 20',
        'waiting to download layer 1 20 to 30',
        'waiting for another pull to bring layer 1 30 to 300',
        'waiting to unpack layer 1 300 to 400',
        'recording the image 400 to 410',
      ],
    ],
  ])('%s', (_, reported, expected) => {
    expect(whereTimeWent(onlyPull(reported)).map(written)).toEqual(expected);
  });

  it.each([1, 7, 60, 200])('is all of it, and nothing twice, with %d layers', (count) => {
    const pull = onlyPull(largePull(APP, count));
    const steps = whereTimeWent(pull);
    let at = pull.start;
    for (const { start, end } of steps) {
      expect(start).toBeCloseTo(at, 6);
      expect(end).toBeGreaterThan(start);
      at = end;
    }
    expect(at).toBe(pull.end);
  });

  it('is mostly in its longest step', () => {
    expect(longestStep(onlyPull(SLOW))).toMatchObject({
      kind: 'unpack',
      start: 600,
      end: 1500,
      layer: { number: 2 },
    });
  });
});

describe('the sentence above the picture', () => {
  it.each<[string, ReportedPull[], string, string?]>([
    ['of one image', [SLOW], '1.6 s, of which 900 ms were spent unpacking layer 2'],
    [
      'of several, about the last one',
      [{ ...SLOW, reference: 'docker.io/library/debian:trixie', done: 1550 }, SLOW],
      '2 images in 1.6 s, of which 900 ms were spent unpacking layer 2 of app:1',
    ],
    [
      'of one that failed',
      [{ reference: APP, failed: [40, 'failed', 'the registry is away'] }],
      'Failed after 40 ms, of which 40 ms were spent asking what the name stands for',
      'the registry is away',
    ],
    [
      'of some that failed',
      [{ reference: 'docker.io/library/debian:trixie', failed: [40, 'failed', 'no'] }, SLOW],
      '1 of 2 images failed; 1.6 s, of which 900 ms were spent unpacking layer 2 of app:1',
      'no',
    ],
    [
      'of one that was interrupted',
      [{ reference: APP, failed: [4, 'interrupted', 'stopped'] }],
      'Interrupted after 4.0 ms, of which 4.0 ms were spent asking what the name stands for',
      'stopped',
    ],
    [
      'with a digest in its name',
      [SLOW, { ...SLOW, reference: `quay.io/team/app@sha256:${'ab'.repeat(32)}`, done: 2000 }],
      '2 images in 2.0 s, of which 900 ms were spent unpacking layer 2 of app@sha256:abababababab…',
    ],
  ])('%s', (_, reported, sentence, reason) => {
    expect(timelineHeadline(timelineOf(...reported))).toEqual({ sentence, reason });
  });
});
