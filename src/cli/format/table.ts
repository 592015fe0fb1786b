import { fitEnd, fitStart } from './fit.js';
import { printable } from './printable.js';

export interface TableColumn {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** Gives way first when the table is wider than it may be. */
  readonly shrinks?: boolean;
  /** Which end of a cell is left when it is cut; default `start`. */
  readonly keeps?: 'start' | 'end';
  /** Is left out where the others would become too narrow to be read; the last such column goes first. */
  readonly optional?: boolean;
}

const GAP = 2;
const NARROWEST = 8;
/** What a column that shrinks is given before a whole column is left out for it. */
const READABLE = 20;

/**
 * Columns as wide as their widest cell, two blanks between. With `width`, the columns that may shrink do so until
 * the table fits, and optional ones are left out before too little is left of those; without it (not a terminal)
 * nothing is cut.
 */
export function renderTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  options: { readonly width?: number | undefined } = {},
): string {
  const cells = [columns.map((column) => column.title), ...rows.map((row) => row.map(printable))];
  const natural = columns.map((_, at) =>
    cells.reduce((widest, row) => Math.max(widest, row[at]?.length ?? 0), 0),
  );
  const shown = shownColumns(columns, natural, options.width);
  const pick = <T>(all: readonly T[]): T[] => all.filter((_, at) => shown.has(at));
  return renderLines(pick(columns), cells.map(pick), fitWidths(pick(columns), pick(natural), options.width));
}

function renderLines(
  columns: readonly TableColumn[],
  cells: readonly (readonly string[])[],
  widths: readonly number[],
): string {
  const lines = cells.map((row) =>
    columns
      .map((column, at) => {
        const width = widths[at] ?? 0;
        const fit = column.keeps === 'end' ? fitStart : fitEnd;
        const cell = fit(row[at] ?? '', width);
        return column.align === 'right' ? cell.padStart(width) : cell.padEnd(width);
      })
      .join(' '.repeat(GAP))
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** The columns that there is room for, by number. */
function shownColumns(
  columns: readonly TableColumn[],
  natural: readonly number[],
  limit: number | undefined,
): ReadonlySet<number> {
  const shown = new Set(columns.keys());
  const least = (at: number): number =>
    columns[at]?.shrinks === true ? Math.min(natural[at] ?? 0, READABLE) : (natural[at] ?? 0);
  for (const [at, column] of [...columns.entries()].reverse()) {
    const needed = [...shown].reduce((sum, one) => sum + least(one) + GAP, -GAP);
    if (limit === undefined || needed <= limit) break;
    if (column.optional === true) shown.delete(at);
  }
  return shown;
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
