import type { Target } from './contract.js';
import { formatFigure } from './figures.js';

/** How a target came out. */
export interface Judgement {
  /** What was promised, in words. */
  readonly promise: string;
  /**
   * The figure that was found, as it was promised: a ratio, a difference or a value. Absent where somebody
   * was missing.
   */
  readonly found?: { readonly value: number; readonly text: string; readonly met: boolean };
}

/** @param medianOf the median of a contestant's figure, or undefined where it did not take part */
export function judge(
  target: Target,
  medianOf: (contestant: string, figure: string) => number | undefined,
): Judgement {
  const promise = promiseOf(target);
  const value = valueOf(target, medianOf);
  if (value === undefined) return { promise };
  const met = 'atMost' in target ? value <= target.atMost : value >= target.atLeast;
  return { promise, found: { value, text: formatOf(target, value), met } };
}

function valueOf(
  { of, figure, compare, against = [] }: Target,
  medianOf: (contestant: string, figure: string) => number | undefined,
): number | undefined {
  const own = medianOf(of, figure);
  if (own === undefined) return undefined;
  if (compare === 'value') return own;
  const others = against.flatMap((name) => medianOf(name, figure) ?? []);
  if (others.length === 0 || others.length < against.length) return undefined;
  const least = Math.min(...others);
  return compare === 'ratio' ? own / least : own - least;
}

function promiseOf(target: Target): string {
  const limit = 'atMost' in target ? target.atMost : target.atLeast;
  const bound = `${'atMost' in target ? 'at most' : 'at least'} ${formatOf(target, limit)}`;
  const others = (target.against ?? []).join(' or ');
  const subject = `${target.figure} of ${target.of}`;
  switch (target.compare) {
    case 'ratio':
      return `${subject}: ${bound} ${others}`;
    case 'difference':
      return `${subject}: ${bound} more than ${others}`;
    case 'value':
      return `${subject}: ${bound}`;
  }
}

function formatOf({ compare, figure }: Target, value: number): string {
  return compare === 'ratio' ? `${Number(value.toFixed(3))} ×` : formatFigure(figure, value);
}
