const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** A number of bytes for people, in powers of 1000 as docker shows them: `0 B`, `12.3 MB`, `123 MB`. */
export function formatSize(bytes: number): string {
  const { divisor, unit } = scaleOf(bytes);
  return `${digits(bytes / divisor, unit)} ${unit}`;
}

/** `12.3 MB/s`. */
export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(Math.round(bytesPerSecond))}/s`;
}

/** How much of how much, both in the unit of the whole: `1.2/45.0 MB`. At most 12 characters below a petabyte. */
export function formatPart(bytes: number, total: number): string {
  const { divisor, unit } = scaleOf(total);
  const wide = total / divisor >= 99.95;
  const part = wide && unit !== 'B' ? (bytes / divisor).toFixed(0) : digits(bytes / divisor, unit);
  return `${part}/${digits(total / divisor, unit)} ${unit}`;
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

/** `1 layer`, `3 layers`; for nouns that take an s. */
export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** A time span for people: `85 ms`, `3.2 s`, `2 min 5 s`, `1 h 2 min`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 59_950) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const SPANS = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['week', 7 * 86_400],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const;

/** How long ago a moment was, in its largest unit: `3 days ago`, `just now`. */
export function formatAge(moment: Date, now: Date): string {
  const seconds = Math.floor((now.getTime() - moment.getTime()) / 1000);
  for (const [name, span] of SPANS) {
    const count = Math.floor(seconds / span);
    if (count >= 1) return `${count} ${name}${count === 1 ? '' : 's'} ago`;
  }
  return 'just now';
}

/** Permissions as `ls` shows them, behind the letter of the type: `rwxr-xr-x`, with setuid, setgid and sticky in their places. */
export function formatMode(mode: number): string {
  const special = [0o4000, 0o2000, 0o1000].map((bit) => (mode & bit) !== 0);
  return [6, 3, 0].map((shift, at) => triplet((mode >> shift) & 7, special[at] === true, at === 2)).join('');
}

function triplet(bits: number, isSpecial: boolean, isLast: boolean): string {
  const read = (bits & 4) === 0 ? '-' : 'r';
  const write = (bits & 2) === 0 ? '-' : 'w';
  const executable = (bits & 1) !== 0;
  if (!isSpecial) return `${read}${write}${executable ? 'x' : '-'}`;
  const letter = isLast ? 't' : 's';
  return `${read}${write}${executable ? letter : letter.toUpperCase()}`;
}
