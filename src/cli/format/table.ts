import { fitEnd } from './fit.js';
import { printable } from './printable.js';

export interface TableColumn {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Gives way first when the table is wider than it may be. */
  readonly shrinks?: boolean;
}

const GAP = 2;
const NARROWEST = 8;

/**
 * Columns as wide as their widest cell, two blanks between. With `width`, the columns that may shrink do so until
 * the table fits; without it (not a terminal) nothing is cut.
 */
export function renderTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  options: { readonly width?: number | undefined } = {},
): string {
  const cells = [columns.map((column) => column.title), ...rows.map((row) => row.map(printable))];
  const widths = fitWidths(
    columns,
    columns.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0))),
    options.width,
  );
  const lines = cells.map((row) =>
    columns
      .map((column, at) => {
        const width = widths[at] ?? 0;
        const cell = fitEnd(row[at] ?? '', width);
        return column.align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join(' '.repeat(GAP))
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

function fitWidths(
  columns: readonly TableColumn[],
  natural: readonly number[],
  limit: number | undefined,
): number[] {
  const widths = [...natural];
  if (limit === undefined) return widths;
  let excess = widths.reduce((sum, width) => sum + width, 0) + GAP * (columns.length - 1) - limit;
  for (const [at, column] of [...columns.entries()].reverse()) {
    const width = widths[at] ?? 0;
    if (column.shrinks !== true || excess <= 0) continue;
    const cut = Math.min(excess, Math.max(0, width - NARROWEST));
    widths[at] = width - cut;
    excess -= cut;
  }
  return widths;
}
