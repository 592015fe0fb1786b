import type { Random } from './random.js';
import type { FuzzSandbox } from './sandbox.js';

/** What a target is fed with. */
export interface FuzzInput {
  /** Archives or blobs, bottom first; of most targets only one. */
  readonly layers: readonly Buffer[];
  /** What has to become of it, where whoever made it knows: the content, or that it is refused. */
  readonly expected?: Buffer | 'refused';
}

/** Where a target works. */
export interface FuzzBench {
  /** For how an input is handled; the same for the same input. */
  readonly random: Random;
  readonly sandbox: FuzzSandbox;
  /** Whether this process may mount what it likes, since nobody else sees it. */
  readonly mounts: boolean;
}

/** One part of the program, with inputs for it and what has to hold whatever they are. */
export interface FuzzTarget {
  readonly name: string;
  /** How often its turn comes, among all targets. */
  readonly weight: number;
  /** Whether it works in memory alone, so that nothing need be looked at outside. */
  readonly isPure?: boolean;
  /** @param seeds - archives that other programs wrote */
  generate(random: Random, seeds: readonly Buffer[]): FuzzInput;
  /** @throws {Violation} */
  check(input: FuzzInput, bench: FuzzBench): void | Promise<void>;
}
