/** From `start` up to and without `end`. */
export interface ByteSpan {
  /** Bytes from the beginning. */
  readonly start: number;
  /** Bytes from the beginning. */
  readonly end: number;
}

/** A set of byte offsets, as the few ranges it consists of. */
export class ByteRanges {
  /** Sorted, not empty, neither overlapping nor touching. */
  #spans: readonly ByteSpan[] = [];

  add(start: number, end: number): void {
    if (end <= start) return;
    const touches = (span: ByteSpan): boolean => span.start <= end && span.end >= start;
    const joined = this.#spans.filter(touches);
    const merged = {
      start: Math.min(start, ...joined.map((span) => span.start)),
      end: Math.max(end, ...joined.map((span) => span.end)),
    };
    this.#spans = [...this.#spans.filter((span) => !touches(span)), merged].sort((a, b) => a.start - b.start);
  }

  remove(start: number, end: number): void {
    if (end <= start) return;
    this.#spans = this.#spans.flatMap((span) => [
      ...(span.start < Math.min(span.end, start)
        ? [{ start: span.start, end: Math.min(span.end, start) }]
        : []),
      ...(Math.max(span.start, end) < span.end ? [{ start: Math.max(span.start, end), end: span.end }] : []),
    ]);
  }

  /** What of a range is not in the set, in order. */
  gaps(start: number, end: number): ByteSpan[] {
    const gaps: ByteSpan[] = [];
    let at = start;
    for (const span of this.#spans) {
      if (span.end <= at) continue;
      if (span.start >= end) break;
      if (span.start > at) gaps.push({ start: at, end: span.start });
      at = span.end;
    }
    if (at < end) gaps.push({ start: at, end });
    return gaps;
  }

  /** The ranges, in order; neither overlapping nor touching. */
  get spans(): readonly ByteSpan[] {
    return this.#spans;
  }

  /** How many offsets are in the set. */
  get bytes(): number {
    return this.#spans.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Where the range that begins at 0 ends; 0 where there is none. */
  get prefix(): number {
    const first = this.#spans[0];
    return first?.start === 0 ? first.end : 0;
  }
}
