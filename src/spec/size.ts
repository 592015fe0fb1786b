const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** A number of bytes for people, in powers of 1000 as docker shows them: `0 B`, `12.3 MB`, `123 MB`. */
export function formatSize(bytes: number): string {
  const { divisor, unit } = scaleOf(bytes);
  return `${digits(bytes / divisor, unit)} ${unit}`;
}

/** The same with all of its digits, where two sizes may differ in the last: `98.3 MB (98269877 bytes)`. */
export function exactSize(bytes: number): string {
  const exact = `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`;
  return bytes < 1000 ? exact : `${formatSize(bytes)} (${exact})`;
}

/**
 * A part of a whole, both in the unit of the whole: `1.2/45.0 MB`. At most 12 characters below a petabyte.
 */
export function formatPart(bytes: number, total: number): string {
  const { divisor, unit } = scaleOf(total);
  const wide = total / divisor >= 99.95;
  const part = wide && unit !== 'B' ? (bytes / divisor).toFixed(0) : digits(bytes / divisor, unit);
  return `${part}/${digits(total / divisor, unit)} ${unit}`;
}

/** `12.3 MB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(Math.round(bytesPerSecond))}/s`;
}

function scaleOf(bytes: number): { divisor: number; unit: (typeof UNITS)[number] } {
  let divisor = 1;
  let at = 0;
  // 999.5 would round up to 1000 of the smaller unit.
  while (bytes / divisor >= (at === 0 ? 1000 : 999.5) && at < UNITS.length - 1) {
    divisor *= 1000;
    at += 1;
  }
  return { divisor, unit: UNITS[at] ?? 'B' };
}

function digits(value: number, unit: string): string {
  return unit === 'B' || value >= 99.95 ? value.toFixed(0) : value.toFixed(1);
}
