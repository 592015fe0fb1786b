import { readSync, writeSync } from 'node:fs';

/** What a process has done, by target. */
export interface TargetCount {
  inputs: number;
  milliseconds: number;
}

/**
 * Where a process is, in a file that it shares with whoever watches it: written before each input, so it
 * tells what a process was doing that is stuck or dead.
 */
export class ProgressRecord {
  /** -1 before the first input. */
  index = -1;
  readonly counts: readonly TargetCount[];
  readonly #fd: number;
  readonly #numbers: Float64Array;

  constructor(fd: number, targets: number) {
    this.#fd = fd;
    this.#numbers = new Float64Array(1 + 2 * targets);
    this.counts = Array.from({ length: targets }, () => ({ inputs: 0, milliseconds: 0 }));
  }

  write(): void {
    this.#numbers[0] = this.index;
    for (const [i, { inputs, milliseconds }] of this.counts.entries()) {
      this.#numbers[1 + 2 * i] = inputs;
      this.#numbers[2 + 2 * i] = milliseconds;
    }
    writeSync(this.#fd, this.#numbers, 0, this.#numbers.byteLength, 0);
  }

  /** Takes over what the other process wrote last. */
  read(): void {
    if (readSync(this.#fd, this.#numbers, 0, this.#numbers.byteLength, 0) === 0) return;
    this.index = this.#numbers[0] ?? -1;
    for (const [i, count] of this.counts.entries()) {
      count.inputs = this.#numbers[1 + 2 * i] ?? 0;
      count.milliseconds = this.#numbers[2 + 2 * i] ?? 0;
    }
  }
}
