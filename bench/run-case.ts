import { mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { output } from './bound-process.js';
import type {
  BenchCase,
  BenchEnvironment,
  CaseResult,
  Contestant,
  OpenCase,
  RunContext,
  Sample,
} from './contract.js';
import type { ImageCache } from './images/image-cache.js';
import { publish } from './images/publish.js';
import { missing, ProgramsOnPath } from './programs.js';
import { startRegistry } from './registry.js';

export interface CaseOptions {
  /** On tmpfs where it can be. */
  readonly work: string;
  readonly disk: string;
  readonly images: ImageCache;
  /** Rounds that are counted, and rounds before them that are not. */
  readonly rounds: number;
  readonly warmup: number;
  readonly signal: AbortSignal;
  /** Tells what goes on, in one line each. */
  readonly say: (text: string) => void;
}

/**
 * Runs one case: round by round each contestant in turn, beginning with another one in each round. One that
 * fails takes no further part, and a note says why.
 */
export async function runCase(benchCase: BenchCase, options: CaseOptions): Promise<CaseResult> {
  const notes = new Set<string>();
  const work = await mkdtemp(join(options.work, `${benchCase.id}-`));
  const disk = await mkdtemp(join(options.disk, `${benchCase.id}-`));
  try {
    await using registry = await startRegistry(join(work, 'registry'));
    const note = (text: string): void => void notes.add(text);
    const environment: BenchEnvironment = {
      work,
      disk,
      registry,
      programs: new ProgramsOnPath(note),
      publish: (recipe) => publish(recipe, options.images, registry),
      note,
    };
    await using open = await openCase(benchCase, environment, options.signal);
    const samples = await runRounds(benchCase, open.contestants, { ...options, work, note });
    const contestants = open.contestants.map(({ name, version }) => ({
      name,
      ...(version === undefined ? {} : { version }),
      samples: samples.get(name) ?? [],
    }));
    return { case: benchCase, contestants, notes: [...notes] };
  } finally {
    await removeTree(work);
    await removeTree(disk);
  }
}

/**
 * A case that cannot be opened, because its image cannot be made for example, has no contestants, and a note
 * why.
 */
async function openCase(
  benchCase: BenchCase,
  environment: BenchEnvironment,
  signal: AbortSignal,
): Promise<OpenCase> {
  try {
    return await benchCase.open(environment);
  } catch (error) {
    signal.throwIfAborted();
    environment.note(`not measured: ${reasonOf(error)}`);
    return { contestants: [], [Symbol.asyncDispose]: () => Promise.resolve() };
  }
}

function reasonOf(error: unknown): string {
  const { code, path, message } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' && path !== undefined && !path.includes('/') ? missing(path) : message;
}

type RoundsOptions = CaseOptions & Pick<BenchEnvironment, 'note'>;

async function runRounds(
  benchCase: BenchCase,
  contestants: readonly Contestant[],
  options: RoundsOptions,
): Promise<ReadonlyMap<string, readonly Sample[]>> {
  const { warmup, note, say, signal } = options;
  const counted = benchCase.rounds?.(options.rounds) ?? options.rounds;
  const samples = new Map<string, Sample[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < warmup + counted; round += 1) {
    for (const contestant of rotated(contestants, round)) {
      const { name } = contestant;
      const own = samples.get(name);
      if (own === undefined) continue;
      try {
        const sample = await runOnce(contestant, round, options);
        const counts = round >= warmup;
        if (counts) own.push(sample);
        const which = counts ? `round ${round - warmup + 1} of ${counted}` : 'warming up';
        say(`${benchCase.id}  ${which}  ${name}: ${sample.wallSeconds.toFixed(2)} s`);
      } catch (error) {
        signal.throwIfAborted();
        samples.delete(name);
        note(`${name} failed: ${reasonOf(error)}`);
        say(`${benchCase.id}  ${name} failed: ${reasonOf(error)}`);
      }
    }
  }
  return samples;
}

/** The same in their order, beginning with another one each time. */
export function rotated<T>(items: readonly T[], by: number): readonly T[] {
  const first = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
}

async function runOnce(
  contestant: Contestant,
  round: number,
  { work, signal }: RoundsOptions,
): Promise<Sample> {
  const directory = join(work, 'run');
  await mkdir(directory);
  const context: RunContext = { round, directory };
  try {
    signal.throwIfAborted();
    await contestant.prepare?.(context);
    const sample = await contestant.run(context);
    signal.throwIfAborted();
    return sample;
  } finally {
    await contestant.cleanUp?.(context);
    await removeTree(directory);
  }
}

/** Removes a directory with all below it, of which what is mounted is only unmounted. */
async function removeTree(directory: string): Promise<void> {
  const mounted = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
    .filter((path) => path.startsWith(`${directory}/`));
  // What was mounted last lies uppermost.
  for (const path of mounted.reverse()) await output('umount', [path]);
  // rm is several times as quick as Node's own where there are 100,000 files.
  await output('rm', ['-rf', '--one-file-system', directory]);
}
