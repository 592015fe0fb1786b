import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Finding, readFinding } from './finding.js';
import { FuzzLoop, inputOf } from './fuzz-loop.js';
import type { FuzzTarget } from './fuzz-target.js';
import { ProgressRecord } from './progress-record.js';
import { FuzzSandbox } from './sandbox.js';
import { shrink } from './shrink.js';
import { FuzzTargets } from './targets/index.js';

/*
 * The process that feeds inputs to targets. It has an empty directory to work in, a record of where it is as descriptor 4, and
 * tells of findings over the channel to the process that started it, which watches it.
 */

/** What a process is to do; the only argument, as JSON. */
export interface FuzzOrder {
  /** An empty directory. */
  readonly directory: string;
  /** Where the seed archives lie, one a file. */
  readonly seeds: string;
  readonly mounts: boolean;
  readonly seed: number;
  /** The first input, and how many each next one is further on. */
  readonly first: number;
  readonly step: number;
  /** Where to stop: before this index, and at this time, in milliseconds since 1970. */
  readonly end: number;
  readonly until: number;
  /** A finding's file: its input is the only one. */
  readonly replay?: string;
}

/**
 * One of these many inputs lets the event loop turn, so that messages get out and the collector gets time.
 */
const TURN = 16;

export const RECORD_FD = 4;

async function main(order: FuzzOrder): Promise<void> {
  process.umask(0o022);
  await using targets = new FuzzTargets();
  using sandbox = new FuzzSandbox(order.directory);
  using loop = new FuzzLoop({ sandbox, mounts: order.mounts });
  const record = new ProgressRecord(RECORD_FD, targets.list.length);
  if (order.replay !== undefined) await replay(readFinding(order.replay), targets.list, loop);
  else await run(order, targets.list, loop, record);
}

async function run(
  order: FuzzOrder,
  targets: readonly FuzzTarget[],
  loop: FuzzLoop,
  record: ProgressRecord,
): Promise<void> {
  const seeds = readdirSync(order.seeds)
    .sort()
    .map((name) => readFileSync(join(order.seeds, name)));
  record.read();
  for (let index = order.first; index < order.end && Date.now() < order.until; index += order.step) {
    record.index = index;
    record.write();
    const number = { seed: order.seed, index };
    const started = performance.now();
    const { target, input } = inputOf(number, targets, seeds);
    const violation = await loop.check(target, input, number);
    const count = record.counts[targets.indexOf(target)];
    if (count !== undefined) {
      count.inputs += 1;
      count.milliseconds += performance.now() - started;
    }
    if (violation !== undefined) {
      const { kind, message, cause } = violation;
      const smaller = await shrink(input, async (attempt) => {
        // A smaller input takes as long at most.
        record.write();
        return (await loop.check(target, attempt, number))?.kind === kind;
      });
      const trace = cause instanceof Error ? `\n${cause.stack ?? ''}\n${causesOf(cause)}` : '';
      await emit({ target: target.name, kind, message: message + trace, number, input: smaller });
    }
    if ((index / order.step) % TURN < 1) await new Promise((resolve) => setImmediate(resolve));
  }
  record.write();
}

/** An error's causes, which its stack leaves out. */
function causesOf(error: Error): string {
  return error.cause instanceof Error ? `caused by ${error.cause.stack ?? ''}\n${causesOf(error.cause)}` : '';
}

async function replay(finding: Finding, targets: readonly FuzzTarget[], loop: FuzzLoop): Promise<void> {
  const target = targets.find(({ name }) => name === finding.target);
  if (target === undefined) throw new Error(`there is no target ${finding.target}`);
  const violation = await loop.check(target, finding.input, finding.number);
  if (violation !== undefined) await emit({ ...finding, kind: violation.kind, message: violation.message });
}

function emit(finding: Finding): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(finding, undefined, undefined, (error) => (error === null ? resolve() : reject(error)));
  });
}

const [, , order = ''] = process.argv;
await main(JSON.parse(order) as FuzzOrder);
process.disconnect();
