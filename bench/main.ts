/*
 * How fast landfall pulls, beside its peers; bench/README.md tells what the cases are and how they are measured.
 *
 * Usage: npm run bench -- [--cases a,b,…] [--rounds 5] [--warmup 1] [--work DIR] [--json FILE] [--svg FILE] [--list]
 */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CASES } from './cases/index.js';
import { renderChart } from './chart.js';
import type { BenchCase, CaseResult } from './contract.js';
import { cacheDirectory, ImageCache } from './images/image-cache.js';
import { describeMachine, thisMachine } from './machine.js';
import { ProgramsOnPath } from './programs.js';
import { caseRecordOf, recordOf } from './record.js';
import { renderCase } from './report.js';
import { runCase } from './run-case.js';
import { inWorkspace, type Workspace } from './workspace.js';

/** What every case needs. */
const NEEDED = ['docker-registry'];

interface Asked {
  readonly cases: readonly BenchCase[];
  readonly rounds: number;
  readonly warmup: number;
  /** The directory below which everything temporary lies. */
  readonly work: string;
  readonly json: string | undefined;
  readonly svg: string | undefined;
}

async function main(): Promise<number> {
  const asked = readArguments();
  if (asked === undefined) return list();
  if (!new ProgramsOnPath(say).have(...NEEDED)) return 1;
  return await inWorkspace(asked.work, (workspace) => benchmark(asked, workspace), say);
}

function readArguments(): Asked | undefined {
  const { values } = parseArgs({
    options: {
      cases: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      warmup: { type: 'string', default: '1' },
      work: { type: 'string', default: tmpdir() },
      json: { type: 'string' },
      svg: { type: 'string' },
      list: { type: 'boolean', default: false },
    },
  });
  if (values.list) return undefined;
  return {
    cases: casesOf(values.cases),
    rounds: count('--rounds', values.rounds, 1),
    warmup: count('--warmup', values.warmup, 0),
    work: resolve(values.work),
    json: values.json,
    svg: values.svg,
  };
}

function casesOf(letters: string | undefined): readonly BenchCase[] {
  if (letters === undefined) return CASES;
  return letters.split(',').map((letter) => {
    const found = CASES.find(({ id }) => id === letter);
    if (found === undefined) throw new Error(`--cases: there is no case ${letter}; --list shows them`);
    return found;
  });
}

function count(option: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new Error(`${option}: expected a number from ${least} on, got ${text}`);
}

function list(): number {
  for (const { id, title, description } of CASES) console.log(`${id}  ${title}\n   ${description}`);
  return 0;
}

async function benchmark(asked: Asked, workspace: Workspace): Promise<number> {
  const begun = new Date();
  const machine = thisMachine();
  console.log(describeMachine(machine));
  const images = new ImageCache(cacheDirectory(), workspace.work, say);
  const results: CaseResult[] = [];
  for (const each of asked.cases) {
    const result = await runCase(each, { ...asked, ...workspace, images, say });
    results.push(result);
    console.log(`\n${renderCase(caseRecordOf(result))}`);
  }
  const record = recordOf(begun, machine, results);
  if (asked.json !== undefined) await writeFile(asked.json, `${JSON.stringify(record, undefined, 2)}\n`);
  if (asked.svg !== undefined) await writeFile(asked.svg, renderChart(record));
  return 0;
}

function say(text: string): void {
  console.error(text);
}

try {
  process.exitCode = await main();
} catch (error) {
  say((error as Error).message);
  process.exitCode = 1;
}
