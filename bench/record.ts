import type { CaseResult, ContestantResult, Figure, Sample } from './contract.js';
import { figureOf, figuresOf } from './figures.js';
import type { Machine } from './machine.js';
import { type Ratio, ratioOf, type Summary, summarize } from './statistics.js';
import { judge, type Judgement } from './targets.js';

/** All that a run of the benchmark found: what its JSON holds, and what tables and chart are made of. */
export interface BenchRecord {
  /** When it began, RFC 3339. */
  readonly begun: string;
  readonly machine: Machine;
  readonly cases: readonly CaseRecord[];
}

export interface CaseRecord {
  readonly id: string;
  readonly title: string;
  readonly description: string;
  /** What else belongs to the result, such as who was missing. */
  readonly notes: readonly string[];
  /** The contestant that the others are held against. Absent where none of those that could be took part. */
  readonly reference?: string;
  readonly contestants: readonly ContestantRecord[];
  readonly targets: readonly Judgement[];
}

export interface ContestantRecord {
  readonly name: string;
  readonly version?: string;
  /** By figure, in seconds and bytes. */
  readonly figures: Readonly<Record<string, Summary>>;
  /** Wall time against the reference's. */
  readonly wallRatio?: Ratio;
  /** Of the counted rounds, in their order. */
  readonly samples: readonly Sample[];
}

export function recordOf(begun: Date, machine: Machine, results: readonly CaseResult[]): BenchRecord {
  return { begun: begun.toISOString(), machine, cases: results.map(caseRecordOf) };
}

export function caseRecordOf({ case: benchCase, contestants, notes }: CaseResult): CaseRecord {
  const measured = contestants.filter(({ samples }) => samples.length > 0);
  const reference = referenceOf(measured, benchCase.reference);
  const records = measured.map((contestant) => contestantRecordOf(contestant, reference));
  const medianOf = (name: string, figure: Figure): number | undefined =>
    records.find((record) => record.name === name)?.figures[figure]?.median;
  return {
    id: benchCase.id,
    title: benchCase.title,
    description: benchCase.description,
    notes,
    ...(reference === undefined ? {} : { reference: reference.name }),
    contestants: records,
    targets: benchCase.targets.map((target) => judge(target, medianOf)),
  };
}

/** The fastest of those that may be the reference. */
function referenceOf(
  contestants: readonly ContestantResult[],
  names: readonly string[],
): ContestantResult | undefined {
  const median = ({ samples }: ContestantResult): number => summarize(wallTimes(samples)).median;
  return contestants
    .filter(({ name }) => names.includes(name))
    .sort((one, other) => median(one) - median(other))[0];
}

function contestantRecordOf(
  { name, version, samples }: ContestantResult,
  reference: ContestantResult | undefined,
): ContestantRecord {
  return {
    name,
    ...(version === undefined ? {} : { version }),
    figures: summariesOf(samples),
    ...(reference === undefined
      ? {}
      : { wallRatio: ratioOf(wallTimes(samples), wallTimes(reference.samples)) }),
    samples: samples.map(sampleOf),
  };
}

/** What is measured of a run, without what else a contestant may have left with it. */
function sampleOf({ wallSeconds, cpuSeconds, peakBytes, extra }: Sample): Sample {
  return { wallSeconds, cpuSeconds, peakBytes, ...(extra === undefined ? {} : { extra }) };
}

function summariesOf(samples: readonly Sample[]): Record<string, Summary> {
  const figures = [...new Set(samples.flatMap(figuresOf))];
  return Object.fromEntries(
    figures.map((figure) => [figure, summarize(samples.flatMap((sample) => figureOf(sample, figure) ?? []))]),
  );
}

function wallTimes(samples: readonly Sample[]): number[] {
  return samples.map(({ wallSeconds }) => wallSeconds);
}
