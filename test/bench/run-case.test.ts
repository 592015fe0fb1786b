import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { BenchCase, Contestant, Sample } from '../../bench/contract.js';
import { ImageCache } from '../../bench/images/image-cache.js';
import { rotated, runCase } from '../../bench/run-case.js';
import { needsPeer } from '../support/peers.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bench-case-'));
  await mkdir(join(directory, 'work'));
  await mkdir(join(directory, 'disk'));
});
afterEach(() => rm(directory, { recursive: true }));

const SAMPLE: Sample = { wallSeconds: 1, cpuSeconds: 1, peakBytes: 1 };

function caseOf(contestants: Contestant[], over: Partial<BenchCase> = {}): BenchCase {
  return {
    id: 'x',
    title: '',
    description: '',
    targets: [],
    reference: [],
    open: () => Promise.resolve({ contestants, [Symbol.asyncDispose]: () => Promise.resolve() }),
    ...over,
  };
}

function run(
  benchCase: BenchCase,
  { rounds = 2, warmup = 1, signal = new AbortController().signal } = {},
): ReturnType<typeof runCase> {
  const images = new ImageCache(join(directory, 'cache'), directory, () => undefined);
  const places = { work: join(directory, 'work'), disk: join(directory, 'disk') };
  return runCase(benchCase, { ...places, images, rounds, warmup, signal, say: () => undefined });
}

/** Everything that happens, in its order. */
function recorded(name: string, log: string[], over: Partial<Contestant> = {}): Contestant {
  const step =
    (what: string) =>
    ({ round }: { round: number }): Promise<void> => {
      log.push(`${name} ${what} ${round}`);
      return Promise.resolve();
    };
  return {
    name,
    prepare: step('prepare'),
    run: async (context) => {
      await step('run')(context);
      return SAMPLE;
    },
    cleanUp: step('clean'),
    ...over,
  };
}

describe('rotated', () => {
  it.each([
    [0, 'abc'],
    [1, 'bca'],
    [5, 'cab'],
  ])('by %d', (by, order) => {
    expect(rotated(['a', 'b', 'c'], by).join('')).toBe(order);
  });

  it('of none', () => expect(rotated([], 3)).toEqual([]));
});

describe.skipIf(needsPeer('docker-registry') !== undefined)('a case', () => {
  it('runs each contestant in turn in each round, another one first each time, and counts after the warm-up', async () => {
    const log: string[] = [];
    const { contestants } = await run(caseOf([recorded('a', log), recorded('b', log)]), { rounds: 1 });
    expect(log.filter((line) => line.includes('run'))).toEqual(['a run 0', 'b run 0', 'b run 1', 'a run 1']);
    expect(log.slice(0, 3)).toEqual(['a prepare 0', 'a run 0', 'a clean 0']);
    expect(contestants.map(({ name, samples }) => [name, samples.length])).toEqual([
      ['a', 1],
      ['b', 1],
    ]);
  });

  it('gives every run an empty directory, and leaves nothing', async () => {
    const seen: string[][] = [];
    const writing: Contestant = {
      name: 'w',
      run: async (context) => {
        seen.push(await readdir(context.directory));
        await writeFile(join(context.directory, 'file'), '');
        return SAMPLE;
      },
    };
    await run(caseOf([writing]));
    expect(seen).toEqual([[], [], []]);
    expect(await readdir(join(directory, 'work'))).toEqual([]);
    expect(await readdir(join(directory, 'disk'))).toEqual([]);
  });

  it('goes on without a contestant that fails, which cleans up all the same', async () => {
    const log: string[] = [];
    const failing = recorded('f', log, {
      run: ({ round }) => (round === 1 ? Promise.reject(new Error('broke')) : Promise.resolve(SAMPLE)),
    });
    const { contestants, notes } = await run(caseOf([failing, recorded('a', log)]));
    expect(contestants.map(({ samples }) => samples.length)).toEqual([0, 2]);
    expect(notes).toEqual(['f failed: broke']);
    expect(log.filter((line) => line.startsWith('f clean'))).toEqual(['f clean 0', 'f clean 1']);
  });

  it('is noted and not measured where it cannot be opened', async () => {
    const missing = Object.assign(new Error('spawn mmdebstrap ENOENT'), {
      code: 'ENOENT',
      path: 'mmdebstrap',
    });
    const { contestants, notes } = await run(caseOf([], { open: () => Promise.reject(missing) }));
    expect(contestants).toEqual([]);
    expect(notes).toEqual(['not measured: mmdebstrap is not here: apt-get install mmdebstrap']);
  });

  it('ends and cleans up when it is interrupted', async () => {
    const controller = new AbortController();
    const log: string[] = [];
    const interrupting = recorded('i', log, {
      run: () => {
        controller.abort(new Error('interrupted'));
        return Promise.reject(new Error('killed'));
      },
    });
    const running = run(caseOf([interrupting, recorded('a', log)]), { signal: controller.signal });
    await expect(running).rejects.toThrow('interrupted');
    expect(log).toEqual(['i prepare 0', 'i clean 0']);
    expect(await readdir(join(directory, 'work'))).toEqual([]);
  });
});
