/**
 * How many rounds where a run takes a fraction of a second: three times as many, since chance is a larger
 * part of it.
 */
export function shortRounds(asked: number): number {
  return 3 * asked;
}
