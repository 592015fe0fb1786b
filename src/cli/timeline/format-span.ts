import { formatDuration } from '../format/duration.js';

/** A span for people, also a very short one: `0.24 ms`, `3.8 ms`, `85 ms`, `3.2 s`. */
export function formatSpan(milliseconds: number): string {
  if (milliseconds >= 9.95 || milliseconds <= 0) return formatDuration(milliseconds);
  return `${milliseconds.toFixed(milliseconds < 0.995 ? 2 : 1)} ms`;
}
