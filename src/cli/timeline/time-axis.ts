/** Where moments are on a picture that is so wide. */
export interface TimeAxis {
  /** Milliseconds at its right end. */
  readonly end: number;
  readonly left: number;
  readonly width: number;
  /** The place of a moment, never outside. */
  readonly at: (moment: number) => number;
  /** Moments that a reader can count by. */
  readonly ticks: readonly Tick[];
}

export interface Tick {
  readonly at: number;
  readonly label: string;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Distances between ticks, in milliseconds: what people count in. */
const STEPS: readonly number[] = [
  ...[0.001, 0.01, 0.1, 1, 10, 100].flatMap((unit) => [unit, 2 * unit, 5 * unit]),
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 5, 10, 20, 50, 100].map((days) => days * DAY),
];

/** Room for a label, so that no two touch. */
const LABEL_WIDTH = 74;

export function timeAxis(end: number, { left, width }: { left: number; width: number }): TimeAxis {
  const most = Math.max(1, Math.floor(width / LABEL_WIDTH));
  const step = STEPS.find((each) => end / each <= most) ?? end;
  const count = end > 0 ? Math.floor(end / step + 1e-9) : 0;
  return {
    end,
    left,
    width,
    at: (moment) => left + (end > 0 ? Math.min(1, Math.max(0, moment / end)) : 0) * width,
    ticks: Array.from({ length: count + 1 }, (_, n) => ({ at: n * step, label: tickLabel(n * step, step) })),
  };
}

/** All in the unit of the distance between ticks, so that they can be compared: `200 ms`, `1.5 s`, `1:30 min`. */
function tickLabel(at: number, step: number): string {
  if (at === 0) return '0';
  if (step < 0.1) return `${trimmed(at * 1000, 3)} µs`;
  if (at < SECOND && step < 100) return `${trimmed(at, 3)} ms`;
  if (step < SECOND && at < MINUTE) return `${trimmed(at / SECOND, 3)} s`;
  if (at < MINUTE) return `${trimmed(at / SECOND, 3)} s`;
  if (at < HOUR) return `${clock(at, MINUTE, SECOND)} min`;
  if (at < DAY) return `${clock(at, HOUR, MINUTE)} h`;
  return `${trimmed(at / DAY, 1)} d`;
}

function clock(at: number, large: number, small: number): string {
  const rest = Math.round((at % large) / small);
  const whole = Math.floor(at / large);
  return rest === 0 ? `${whole}` : `${whole}:${String(rest).padStart(2, '0')}`;
}

function trimmed(value: number, decimals: number): string {
  return String(Number(value.toFixed(decimals)));
}
