import type { ContainerdReport } from '../daemon/check-containerd.js';
import { printable } from './format/printable.js';

/** What a containerd's configuration lacks, as lines that can be put into it. */
export function renderContainerd({ file, version, missing }: ContainerdReport): string {
  if (missing.length === 0) return `${printable(file)} has all that landfall needs as a snapshotter\n`;
  const lines = [`${printable(file)}, of version ${version}, lacks:`];
  let before: string | undefined;
  let keys = new Set<string>();
  for (const { table, line, why, instead } of missing) {
    const key = line.slice(0, line.indexOf(' '));
    // Of a list of tables each has a header of its own.
    if (table !== before || keys.has(key)) {
      lines.push('', ...(table === '' ? [] : [table]));
      keys = new Set();
    }
    keys.add(key);
    before = table;
    lines.push(`# ${why}`);
    if (instead !== undefined)
      lines.push(`# instead of ${printable(instead.line)} (${printable(instead.place)})`);
    lines.push(line);
  }
  return `${lines.join('\n')}\n`;
}
