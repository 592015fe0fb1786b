import type { FuzzBench, FuzzInput, FuzzTarget } from './fuzz-target.js';
import { MemoryWatch } from './memory-watch.js';
import { Random } from './random.js';
import { Violation } from './violation.js';

/** What tells one input from all others: it can be made anew from this. */
export interface InputNumber {
  readonly seed: number;
  readonly index: number;
}

/** The target whose turn it is, and its input. */
export function inputOf(
  { seed, index }: InputNumber,
  targets: readonly FuzzTarget[],
  seeds: readonly Buffer[],
): { target: FuzzTarget; input: FuzzInput } {
  const random = new Random(seed, index);
  const total = targets.reduce((sum, { weight }) => sum + weight, 0);
  let at = (random.below(2 ** 31) / 2 ** 31) * total;
  const target = targets.find(({ weight }) => (at -= weight) < 0) ?? targets.at(-1);
  if (target === undefined) throw new Error('there is no target');
  return { target, input: target.generate(random, seeds) };
}

/** Feeds targets and looks at what they leave behind. */
export class FuzzLoop implements Disposable {
  readonly #bench: Omit<FuzzBench, 'random'>;
  readonly #memory = new MemoryWatch();

  constructor(bench: Omit<FuzzBench, 'random'>) {
    this.#bench = bench;
    bench.sandbox.settle();
  }

  /** What the input violates, if anything. The same input is handled in the same way each time. */
  async check(
    target: FuzzTarget,
    input: FuzzInput,
    { seed, index }: InputNumber,
  ): Promise<Violation | undefined> {
    // Another sequence than the one that made the input.
    const random = new Random(~seed, index);
    this.#memory.start();
    try {
      await target.check(input, { ...this.#bench, random });
      this.#memory.check();
      if (target.isPure !== true) this.#bench.sandbox.check();
      return undefined;
    } catch (error) {
      if (error instanceof Violation) return error;
      return new Violation('crash', `an error outside of what is tested: ${String(error)}`, error);
    }
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}
