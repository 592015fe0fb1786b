import { describe, expect, test } from 'vitest';
import {
  pullReport,
  type PullReport,
  pullReportJson,
  renderPullSummary,
  renderPullTable,
} from '../../src/cli/commands/pull.js';
import type { PullResult } from '../../src/engine/pull/pull-report.js';
import { NAME, TARGET, testLayers } from './pull-events.js';
import { layerDigest, recorderOf, type ReportedPull } from './timeline/told-pull.js';

const OTHER = 'quay.io/team/app:1';

/** A pull of two layers, of which the upper one takes most of the time. */
const FRESH: ReportedPull = {
  reference: NAME,
  resolved: 200,
  manifests: 300,
  layers: [
    { size: 1000, waiting: 300, present: 310, reused: 320 },
    {
      size: 45_000_000,
      waiting: 300,
      downloading: 310,
      here: 3000,
      unpacking: 320,
      unpacked: 4000,
      committed: 4100,
    },
  ],
  done: 4200,
};
const PRESENT: ReportedPull = {
  ...FRESH,
  manifests: 210,
  layers: [
    { size: 1000, present: 210, reused: 210 },
    { size: 2000, present: 210, reused: 210 },
  ],
  done: 215,
};

function reportOf(reported: ReportedPull, reused: boolean[], change: Partial<PullResult> = {}): PullReport {
  const layers = testLayers(...(reported.layers ?? []).map(({ size }) => size)).map((layer, at) => ({
    ...layer,
    digest: layerDigest(reported.reference, at),
    reused: reused[at] ?? false,
    discarded: false,
  }));
  const result: PullResult = {
    reference: reported.reference,
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
  return pullReport(result, recorderOf(reported));
}

const fresh = (change: Partial<PullResult> = {}): PullReport =>
  reportOf(FRESH, [true, false], {
    bytesDownloaded: 45_000_000,
    fetchMs: 3000,
    unpackMs: 4000,
    ...change,
  });

function layerName(at: number): string {
  return layerDigest(NAME, at).slice('sha256:'.length, 'sha256:'.length + 12);
}

describe('what a pull says at its end', () => {
  test.each<[string, PullReport, string[]]>([
    [
      'something new',
      fresh(),
      [
        'layers    1 new, 1 reused (1.0 kB)',
        'download  45.0 MB in 3.0 s, 15.0 MB/s',
        'unpack    45.0 MB in 4.0 s, 11.3 MB/s',
        `time      4.2 s, of which 2.7 s downloading layer 2 (${layerName(1)})`,
      ],
    ],
    [
      'nothing to do',
      reportOf(PRESENT, [true, true]),
      ['up to date: nothing was downloaded (2 layers already present, 3.0 kB, 215 ms)'],
    ],
    [
      'here already, to be unpacked',
      reportOf(
        {
          ...PRESENT,
          layers: [{ size: 1_000_000, present: 210, unpacking: 220, unpacked: 1200, committed: 1210 }],
          done: 1250,
        },
        [false],
        { unpackMs: 1000 },
      ),
      [
        'layers    1 new, 0 reused (1.0 MB)',
        'download  nothing was downloaded',
        'unpack    1.0 MB in 1.0 s, 1.0 MB/s',
        `time      1.3 s, of which 980 ms unpacking layer 1 (${layerName(0)})`,
      ],
    ],
  ])('%s', (_, report, lines) => {
    const head = [NAME, `  ${TARGET}`, '  platform  linux/arm64'];
    expect(renderPullSummary(report)).toBe(
      [...head, ...lines.map((line) => `  ${line}`)].map((line) => `${line}\n`).join(''),
    );
  });

  test.each([
    [
      'a new image',
      fresh({ bytesDiscarded: 2000 }),
      /time[^\n]*\n {2}freed {5}2\.0 kB of disk: 2 layers kept unpacked only\n$/,
    ],
    [
      'what was here',
      reportOf(PRESENT, [true, true], { bytesDiscarded: 2000 }),
      /up to date[^\n]*\n {2}freed {5}2\.0 kB of disk: 2 layers kept unpacked only\n$/,
    ],
  ])('how much disk was given back, of %s', (_, report, said) => {
    const layers = report.result.layers.map((layer) => ({ ...layer, discarded: true }));
    expect(renderPullSummary({ ...report, result: { ...report.result, layers } })).toMatch(said);
  });

  test('without unpacking its time is not told', () => {
    const { chainId, ...result } = fresh().result;
    expect(chainId).toBe(TARGET);
    expect(renderPullSummary({ ...fresh(), result })).not.toContain('unpack ');
  });

  test('names the signers', () => {
    const signature = {
      digest: TARGET,
      signedBy: 'key \u001b[31m',
      format: 'bundle',
      signature: TARGET,
      policy: '/policy.json',
      scope: 'docker:',
    } as const;
    expect(renderPullSummary(fresh({ signatures: [signature, signature] }))).toMatch(
      /^ {2}signed {4}by key \\u001b\[31m\n/m,
    );
  });
});

describe('what several pulls say together', () => {
  const second = reportOf({ ...FRESH, reference: OTHER, done: 9000 }, [true, false], {
    bytesDownloaded: 5_000_000,
  });
  const digest = TARGET.slice(7, 19);

  test('one table, whose last row adds up the rows above, and what took longest', () => {
    expect(renderPullTable([fresh(), second], 2)).toBe(
      [
        'IMAGE                            NEW  REUSED  DOWNLOADED  DIGEST        PLATFORM',
        `${NAME}    1       1     45.0 MB  ${digest}  linux/arm64`,
        `quay.io/team/app:1                 1       1      5.0 MB  ${digest}  linux/arm64`,
        '2 images                           2       2     50.0 MB',
        'time     9.0 s, 5.6 MB/s',
        `longest  4.9 s recording the image of ${OTHER}`,
        '',
      ].join('\n'),
    );
  });

  test.each([40, 60, 80])('in %d columns no line is wider', (width) => {
    const long = 'localhost:50000/a-department-with-a-name/and-a-team/with-a-very-long-repository:1';
    const third = reportOf({ ...FRESH, reference: long, done: 9900 }, [true, false], {
      ...{ bytesDownloaded: 5_000_000, bytesDiscarded: 2000 },
    });
    const lines = renderPullTable([fresh(), second, third], 3, { width }).split('\n');
    if (width > 40)
      expect(Math.max(...lines.slice(0, -2).map((line) => line.length))).toBeLessThanOrEqual(width);
    expect(lines.find((line) => line.startsWith('longest'))?.length).toBeLessThanOrEqual(Math.max(60, width));
    expect(lines[0]).toContain('FREED');
  });

  test('how many of them failed', () => {
    expect(renderPullTable([fresh(), second], 3)).toMatch(/^2 of 3 images +2 +2 +50\.0 MB$/m);
  });

  test('nothing where none was pulled', () => {
    expect(renderPullTable([], 2)).toBe('');
  });

  test('that nothing came', () => {
    const present = reportOf(PRESENT, [true, true]);
    const table = renderPullTable([present, present], 2);
    expect(table).toMatch(/^2 images +0 +4 +-\ntime {5}215 ms\n$/m);
  });

  test('the signers, where a policy asks for some', () => {
    const signature = {
      format: 'bundle',
      ...{ digest: TARGET, signedBy: 'key 3f2a', signature: TARGET },
      ...{ policy: '/policy.json', scope: 'docker:' },
    } as const;
    const table = renderPullTable([fresh({ signatures: [signature] }), second], 2);
    expect(table).toMatch(/SIGNED BY\n.* {2}key 3f2a\n/);
  });
});

test('programs are told exact numbers', () => {
  expect(pullReportJson(fresh())).toMatchObject({
    platform: 'linux/arm64',
    bytesReused: 1000,
    durationMs: 4200,
    slowest: { step: 'download', layer: 2, digest: layerDigest(NAME, 1), durationMs: 2690 },
    layers: [
      { waitMs: 20, downloadMs: 0, unpackMs: 0, commitMs: 0 },
      { waitMs: 10, downloadMs: 2690, unpackMs: 3680, commitMs: 100 },
    ],
  });
});
