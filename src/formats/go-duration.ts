const MILLISECONDS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};
const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;

/**
 * Milliseconds of a duration as Go writes it (`1s`, `1m30s`, `1.5h`, `-2s`, `0`); undefined when it is none.
 */
export function parseGoDuration(text: string): number | undefined {
  const [, sign = '', rest = ''] = /^([-+]?)(.*)$/s.exec(text) ?? [];
  if (rest === '0') return 0;
  let sum = 0;
  let at = 0;
  while (at < rest.length) {
    PART.lastIndex = at;
    const [part = '', amount = '', unit = ''] = PART.exec(rest) ?? [];
    if (part === '') return undefined;
    sum += Number(amount) * (MILLISECONDS[unit] ?? 0);
    at += part.length;
  }
  if (at === 0) return undefined;
  return sign === '-' ? -sum : sum;
}
