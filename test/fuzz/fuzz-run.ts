import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Finding, readFinding, writeFinding } from './finding.js';
import type { TargetCount } from './progress-record.js';
import { SANDBOXES } from './sandbox.js';
import { seedArchives } from './seed-archives.js';
import { FuzzTargets } from './targets/index.js';
import { WatchedProcess } from './watched-process.js';

export interface FuzzRunOptions {
  readonly seed: number;
  /** So many inputs at most. Default: no end. */
  readonly inputs?: number;
  /** So long at most. Default: no end. */
  readonly seconds?: number;
  readonly workers: number;
  /** Where findings go; made when there is one. */
  readonly findings: string;
  /** How long one input may take. */
  readonly hangSeconds: number;
  /** A finding's file: its input alone is run again. */
  readonly replay?: string;
  /** Ends it before its time. */
  readonly signal?: AbortSignal;
  readonly onFinding?: (finding: Finding, path: string) => void;
}

export interface FuzzReport {
  readonly findings: number;
  readonly seeds: number;
  /** Whether each process had a file system and mounts of its own, with everything else read-only. */
  readonly isolated: boolean;
  readonly seconds: number;
  readonly targets: Readonly<Record<string, TargetCount>>;
}

/** After so many findings of one kind at one target, more of them say nothing new. */
const MOST_ALIKE = 10;

/**
 * Feeds inputs to all targets in processes of their own until the time or the inputs are at an end. What is
 * written goes to a temporary directory, gone at the end, and to the directory of findings.
 */
export async function runFuzz(o: FuzzRunOptions): Promise<FuzzReport> {
  const started = performance.now();
  // One that cannot be read is found out before anything is started.
  if (o.replay !== undefined) readFinding(o.replay);
  await using targets = new FuzzTargets();
  const isolated = canIsolate();
  // What is isolated has a file system in memory of its own.
  const work = mkdtempSync(join(isolated ? tmpdir() : SANDBOXES, 'landfall-fuzz-'));
  const alike = new Map<string, number>();
  let findings = 0;
  const onFinding = (finding: Finding): void => {
    findings += 1;
    const key = `${finding.target} ${finding.kind}`;
    const count = (alike.get(key) ?? 0) + 1;
    alike.set(key, count);
    if (count <= MOST_ALIKE) o.onFinding?.(finding, writeFinding(o.findings, finding));
  };
  try {
    const seeds = writeSeeds(work);
    const processes = Array.from({ length: o.workers }, (_, i) => {
      const directory = join(work, `process-${i}`);
      mkdirSync(directory);
      return new WatchedProcess({
        order: {
          directory,
          seeds: join(work, 'seeds'),
          mounts: isolated,
          seed: o.seed,
          first: i,
          step: o.workers,
          end: o.inputs ?? Number.MAX_SAFE_INTEGER,
          until: o.seconds === undefined ? Number.MAX_SAFE_INTEGER : Date.now() + o.seconds * 1000,
          ...(o.replay === undefined ? {} : { replay: o.replay }),
        },
        isolated,
        hangSeconds: o.hangSeconds,
        targets: targets.list,
        seeds,
        onFinding,
        ...(o.signal === undefined ? {} : { signal: o.signal }),
      });
    });
    await Promise.all(processes.map((one) => one.run()));
    return {
      findings,
      seeds: seeds.length,
      isolated,
      seconds: (performance.now() - started) / 1000,
      targets: Object.fromEntries(
        targets.list.map(({ name }, i) => [name, sum(processes.map(({ counts }) => counts[i]))]),
      ),
    };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function writeSeeds(work: string): Buffer[] {
  const tree = join(work, 'seed-tree');
  const directory = join(work, 'seeds');
  mkdirSync(tree);
  mkdirSync(directory);
  const seeds = seedArchives(tree);
  for (const [i, seed] of seeds.entries()) writeFileSync(join(directory, String(i).padStart(3, '0')), seed);
  return seeds;
}

/** Whether processes can have mounts that nobody else sees: as root, where nothing forbids it. */
function canIsolate(): boolean {
  if (process.geteuid?.() !== 0) return false;
  try {
    execFileSync('unshare', ['-m', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function sum(counts: readonly (TargetCount | undefined)[]): TargetCount {
  return counts.reduce<TargetCount>(
    (total, count) => ({
      inputs: total.inputs + (count?.inputs ?? 0),
      milliseconds: total.milliseconds + (count?.milliseconds ?? 0),
    }),
    { inputs: 0, milliseconds: 0 },
  );
}
