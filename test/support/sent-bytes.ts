/** Bytes of some content, from `start` to before `end`. */
export interface SentRange {
  readonly start: number;
  readonly end: number;
}

/** Which bytes a server has sent of what it serves, by the paths of its requests without their queries. */
export class SentBytes {
  readonly #ranges = new Map<string, { start: number; end: number }[]>();

  /** Begins the range of one answer; what is returned makes it longer. */
  begin(path: string, start: number): (bytes: number) => void {
    const range = { start, end: start };
    const ranges = this.#ranges.get(path) ?? [];
    this.#ranges.set(path, [...ranges, range]);
    return (bytes) => void (range.end += bytes);
  }

  /**
   * The ranges of all answers at a path, in the order in which they began; an answer without a body has none.
   */
  of(path: string): SentRange[] {
    return (this.#ranges.get(path) ?? [])
      .filter(({ start, end }) => end > start)
      .map((range) => ({ ...range }));
  }

  /** How many bytes were sent at a path, or at all paths, those that were sent twice counted twice. */
  total(path?: string): number {
    const ranges =
      path === undefined ? [...this.#ranges.keys()].flatMap((each) => this.of(each)) : this.of(path);
    return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** What was sent more than once: empty where each byte was sent at most once. */
  twice(path: string): SentRange[] {
    const twice: { start: number; end: number }[] = [];
    let reached = 0;
    for (const { start, end } of this.of(path).sort((a, b) => a.start - b.start)) {
      const overlap = { start, end: Math.min(end, reached) };
      const last = twice.at(-1);
      if (overlap.end > start && last !== undefined && last.end >= start)
        last.end = Math.max(last.end, overlap.end);
      else if (overlap.end > start) twice.push(overlap);
      reached = Math.max(reached, end);
    }
    return twice;
  }
}
