import { describe, expect, test } from 'vitest';
import { renderChart } from '../../bench/chart.js';
import type { BenchCase, CaseResult, ContestantResult } from '../../bench/contract.js';
import { formatFigure } from '../../bench/figures.js';
import { caseRecordOf, recordOf } from '../../bench/record.js';
import { renderCase } from '../../bench/report.js';

const MACHINE = {
  cores: 2,
  processor: 'a <fast> & good one',
  memoryBytes: 8e9,
  kernel: '6.12',
  node: 'v20.1.0',
  load: 0,
};

function contestant(name: string, walls: readonly number[], requests?: readonly number[]): ContestantResult {
  const samples = walls.map((wallSeconds, round) => ({
    wallSeconds,
    cpuSeconds: 2 * wallSeconds,
    peakBytes: 50e6,
    ...(requests === undefined ? {} : { extra: { requests: requests[round] ?? 0 } }),
  }));
  return { name, version: `${name} 1.0`, samples };
}

function result(contestants: readonly ContestantResult[], reference: readonly string[]): CaseResult {
  const benchCase: BenchCase = {
    id: 'x',
    title: 'a case',
    description: 'what is done',
    reference,
    targets: [{ figure: 'wall', of: 'own', compare: 'ratio', against: ['peer'], atMost: 0.5 }],
    open: () => Promise.reject(new Error('does not run here')),
  };
  return { case: benchCase, contestants, notes: ['somebody is not here'] };
}

const OWN = contestant('own', [1, 2, 3], [1, 1, 4]);
const PEER = contestant('peer', [4, 8, 6], [7, 7, 7]);
const SLOWER = contestant('slower', [9, 9, 9]);

describe('caseRecordOf', () => {
  test('holds everybody against the fastest of those that may be the reference, round by round too', () => {
    const record = caseRecordOf(result([SLOWER, OWN, PEER], ['slower', 'peer']));
    expect(record.reference).toBe('peer');
    expect(record.contestants[1]).toEqual({
      name: 'own',
      version: 'own 1.0',
      figures: {
        wall: { median: 2, minimum: 1, maximum: 3 },
        cpu: { median: 4, minimum: 2, maximum: 6 },
        peak: { median: 50e6, minimum: 50e6, maximum: 50e6 },
        requests: { median: 1, minimum: 1, maximum: 4 },
      },
      wallRatio: { ofMedians: 2 / 6, byRound: { median: 0.25, minimum: 0.25, maximum: 0.5 } },
      samples: OWN.samples,
    });
    expect(record.targets[0]?.found?.met).toBe(true);
  });

  test('leaves out who has no samples, as reference too', () => {
    const record = caseRecordOf(result([OWN, contestant('peer', [])], ['peer']));
    expect(record.contestants.map(({ name }) => name)).toEqual(['own']);
    expect(record).not.toHaveProperty('reference');
    expect(record.contestants[0]).not.toHaveProperty('wallRatio');
    expect(record.targets[0]).not.toHaveProperty('found');
  });
});

describe('renderCase', () => {
  test('is a table with everything in it', () => {
    expect(renderCase(caseRecordOf(result([PEER, OWN, SLOWER], ['peer']))).split('\n')).toEqual([
      '(x) a case',
      'what is done',
      '',
      'CONTESTANT  VERSION       WALL  MIN .. MAX        SPREAD     CPU   MEMORY    REQUESTS  × PEER  BY ROUND',
      'peer        peer 1.0    6.00 s  4.00 s .. 8.00 s    67 %  12.0 s  50.0 MB           7    1.00  1.00 (1.00 .. 1.00)',
      'own         own 1.0     2.00 s  1.00 s .. 3.00 s   100 %  4.00 s  50.0 MB  1 (1 .. 4)    0.33  0.25 (0.25 .. 0.50)',
      'slower      slower 1.0  9.00 s  9.00 s .. 9.00 s     0 %  18.0 s  50.0 MB                1.50  1.50 (1.13 .. 2.25)',
      '',
      'note: somebody is not here',
      'target: wall of own: at most 0.5 × peer: 0.333 ×, met',
      '',
    ]);
  });

  test('says what was missed, and what could not be judged', () => {
    const missed = renderCase(caseRecordOf(result([contestant('own', [4]), contestant('peer', [6])], [])));
    expect(missed).toContain('0.667 ×, MISSED\n');
    expect(missed).not.toContain('BY ROUND');
    expect(renderCase(caseRecordOf(result([OWN], [])))).toContain('not judged, somebody is missing\n');
  });
});

describe('renderChart', () => {
  const begun = new Date('2026-01-02T03:04:05Z');
  const chart = (...results: readonly CaseResult[]): string => renderChart(recordOf(begun, MACHINE, results));
  const bars = (svg: string): string[] =>
    [...svg.matchAll(/<rect x="250" .*? width="([\d.]+)"/g)].map(([, width = '']) => width);

  test('has a bar for each contestant, as long as its ratio, and cut where it is too long', () => {
    const svg = chart(
      result([PEER, contestant('own', [3, 3, 3]), contestant('endless', [60, 60, 60])], ['peer']),
    );
    expect(bars(svg)).toEqual(['255.0', '127.5', '510.0']);
    expect(svg).toContain('>0.50 × · 3.00 s<');
    expect(svg).toContain('>10.00 × · 60.0 s<');
  });

  test('leaves out a case without a reference, and can be drawn of nothing', () => {
    expect(bars(chart(result([PEER, OWN], [])))).toEqual([]);
    expect(chart()).toMatch(/^<svg [^]*<\/svg>\n$/);
  });

  test('has no markup but its own', () => {
    const svg = chart(result([contestant('own <&>', [1]), contestant('peer', [1])], ['peer']));
    expect(svg).toContain('>own &lt;&amp;&gt;<');
    expect(svg).toContain('a &lt;fast&gt; &amp; good one');
  });
});

test.each<[string, number, string]>([
  ['wall', 0.0012, '1.2 ms'],
  ['wall', 0.0853, '85 ms'],
  ['wall', 0.99949, '999 ms'],
  ['wall', 0.9996, '1.00 s'],
  ['cpu', 4.256, '4.26 s'],
  ['cpu', 12.25, '12.3 s'],
  ['wall', -0.0031, '-3.1 ms'],
  ['peak', 123.4e6, '123 MB'],
  ['transferredBytes', 999, '999 B'],
  ['diskBytesPerSecond', 1.2e9, '1.2 GB/s'],
  ['headRequests', 1, '1'],
  ['headRequests', 1.5, '1.5'],
])('%s of %d is %s', (figure, value, text) => {
  expect(formatFigure(figure, value)).toBe(text);
});
