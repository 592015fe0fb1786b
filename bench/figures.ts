import type { Figure, Sample } from './contract.js';
import { formatRate, formatSize } from '../src/spec/index.js';

/** One figure of one run; undefined where this contestant does not tell it. */
export function figureOf(sample: Sample, figure: Figure): number | undefined {
  switch (figure) {
    case 'wall':
      return sample.wallSeconds;
    case 'cpu':
      return sample.cpuSeconds;
    case 'peak':
      return sample.peakBytes;
    default:
      return sample.extra?.[figure];
  }
}

/** All that a run tells, by name. */
export function figuresOf({ extra = {} }: Sample): readonly Figure[] {
  return ['wall', 'cpu', 'peak', ...Object.keys(extra)];
}

/** A value with its unit, which is that of the figure's name: `4.25 s`, `85 ms`, `268 MB`, `1`. */
export function formatFigure(figure: Figure, value: number): string {
  if (figure === 'wall' || figure === 'cpu' || figure.endsWith('Seconds')) return formatSeconds(value);
  if (figure.endsWith('BytesPerSecond')) return formatRate(value);
  if (figure === 'peak' || figure.endsWith('Bytes')) return formatSize(Math.round(value));
  return String(Number(value.toFixed(2)));
}

/** `12.3 ms`, `85 ms`, `4.25 s`, `10.7 s`: three digits, or two where it is short. */
function formatSeconds(seconds: number): string {
  const milliseconds = seconds * 1000;
  if (Math.abs(milliseconds) < 9.95) return `${milliseconds.toFixed(1)} ms`;
  if (Math.abs(milliseconds) < 999.5) return `${milliseconds.toFixed(0)} ms`;
  return `${seconds.toFixed(Math.abs(seconds) < 9.995 ? 2 : 1)} s`;
}
