/** A part of a whole. */
export interface BarPart {
  readonly amount: number;
  /** One character. */
  readonly mark: string;
}

/**
 * How many cells of a bar each part takes, in order. Together they are the whole width. A part that is not nothing has one
 * cell at least, as far as there are cells, so that a small one is seen beside a huge one.
 */
export function shareCells(amounts: readonly number[], width: number): number[] {
  const whole = amounts.reduce((sum, amount) => sum + amount, 0);
  if (whole <= 0) return amounts.map(() => 0);
  const exact = amounts.map((amount) => (amount / whole) * width);
  const cells = exact.map((share, at) => Math.max(Math.floor(share), (amounts[at] ?? 0) > 0 ? 1 : 0));
  const largest = exact.indexOf(Math.max(...exact));
  // What rounding left over, or took too much, is hardly seen on the largest part.
  for (let over = sumOf(cells) - width; over > 0; over -= 1) take(cells, largest);
  cells[largest] = (cells[largest] ?? 0) + width - sumOf(cells);
  return cells;
}

/** Takes a cell from the largest part, or where that has one only from whoever has most. */
function take(cells: number[], largest: number): void {
  const from = (cells[largest] ?? 0) > 1 ? largest : cells.indexOf(Math.max(...cells));
  cells[from] = (cells[from] ?? 0) - 1;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** The parts of a whole, drawn beside each other: `##==.....`; each is passed through `paint` before they are joined. */
export function renderShares(
  parts: readonly BarPart[],
  width: number,
  paint: (text: string, at: number) => string = (text) => text,
): string {
  const cells = shareCells(
    parts.map(({ amount }) => amount),
    width,
  );
  return parts.map(({ mark }, at) => paint(mark.repeat(cells[at] ?? 0), at)).join('');
}
