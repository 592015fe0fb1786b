/** What differs from run to run, and what a page shows in its place. */
const VARYING: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/sha256:(?:[0-9a-f]{6,64}…?|…)/g, '<digest>'],
  [/\b[0-9a-f]{64}\b/g, '<digest>'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z?/g, '<time>'],
  [/(?:\d+|an?) (?:second|minute|hour|day|week|month|year)s? ago|just now/g, '<time>'],
  [/\d+(?:\.\d+)?(?:,\d{3})* ?(?:[kKMGT]i?)?B(?:\/s)?(?![\w-])/g, '<size>'],
  [/\b\d+(?:\.\d+)? ?(?:ms|s|min)(?!\w)/g, '<time>'],
];

function withoutVarying(text: string): string {
  const named = VARYING.reduce((all, [pattern, name]) => all.replace(pattern, name), text);
  // Columns are as wide as what stands in them.
  return named
    .split('\n')
    .map((line) => line.replace(/(?<=\S) {2,}/g, '  ').trimEnd())
    .join('\n')
    .trim();
}

/**
 * Whether a page shows what a command prints. Digests, sizes, times and the width of columns may differ; `…`
 * stands for any text within a line, and by itself for any lines.
 *
 * @returns undefined where it does; else both, as they were compared
 */
export function differenceFrom(shown: string, printed: string): string | undefined {
  const [wanted, got] = [withoutVarying(shown), withoutVarying(printed)];
  const lines = wanted.split('\n').map((line) => {
    if (line.trim() === '…') return '(?:.*\n)*?';
    return `${line.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`).replaceAll('…', '.*')}\n`;
  });
  if (new RegExp(`^${lines.join('')}$`).test(`${got}\n`)) return undefined;
  return `shown:\n${wanted}\nprinted:\n${got}`;
}
