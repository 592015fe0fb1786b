import { formatRate } from '../format/size.js';
import { element, textAt, tooltip } from './svg.js';
import type { TimeAxis } from './time-axis.js';
import type { Throughput } from './timeline.js';

export interface ThroughputPlace {
  readonly axis: TimeAxis;
  readonly top: number;
  readonly height: number;
  readonly left: number;
}

/** So many steps can be told apart on the picture. */
const MOST_STEPS = 120;

/** How fast bytes came, as steps below the layers. */
export function renderThroughput(
  throughput: Throughput,
  { axis, top, height, left }: ThroughputPlace,
): string {
  const rates = ratesOf(throughput, axis.end);
  const most = Math.max(0, ...rates.map(({ rate }) => rate));
  if (most === 0) return '';
  const base = top + height;
  const y = (rate: number): number => Math.round((base - (rate / most) * (height - 8)) * 100) / 100;
  const x = (at: number): number => Math.round(axis.at(at) * 100) / 100;
  const steps = rates.map(({ rate, start, end }) => `L${x(start)} ${y(rate)}L${x(end)} ${y(rate)}`).join('');
  const d = `M${x(0)} ${base}${steps}L${x(rates.at(-1)?.end ?? 0)} ${base}Z`;
  return element(
    'g',
    {},
    tooltip(`bytes from the network; at most ${formatRate(most)}`),
    textAt(left, base - 16, 'network', { class: 'name' }),
    textAt(left, base - 2, `at most ${formatRate(most)}`, { class: 'faint' }),
    element('path', { class: 'rate', d }),
  );
}

function ratesOf(
  { interval, bytes }: Throughput,
  end: number,
): readonly { readonly rate: number; readonly start: number; readonly end: number }[] {
  const group = Math.max(1, Math.ceil(bytes.length / MOST_STEPS));
  return Array.from({ length: Math.ceil(bytes.length / group) }, (_, at) => {
    const start = at * group * interval;
    const until = Math.min(Math.max(end, start), start + group * interval);
    const sum = bytes.slice(at * group, (at + 1) * group).reduce((total, each) => total + each, 0);
    // The last interval may have hardly begun.
    return { rate: (sum * 1000) / Math.max(until - start, interval), start, end: until };
  });
}
