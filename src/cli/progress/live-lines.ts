import { stripVTControlCharacters } from 'node:util';
import { columnsOf, rowsOf, type TerminalStream } from '../output/terminal.js';

/** A terminal that knows the first mode shows what is between both at once; others leave them out. */
const BEGIN_UPDATE = '\x1b[?2026h';
const END_UPDATE = '\x1b[?2026l';
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
const ERASE_LINE_END = '\x1b[K';
/**
 * The row of the cursor and all below it. Not in one go: when all of a screen is erased from its first row
 * on, tmux and others keep what was there in their history, where it would be seen once more.
 */
const ERASE_FROM_HERE = `${ERASE_LINE_END}\n\x1b[J\x1b[F`;

/** A stream that reports when its terminal has another size; Node's own streams do. */
interface Resizable {
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

/**
 * The last lines of a terminal, which are drawn anew in their place while others go above them. Only lines
 * that changed are written, over what was there: nothing is blanked first, so nothing flickers where the
 * terminal shows half of an update. No line may reach the last column, nor may there be as many as the
 * terminal has.
 *
 * When a terminal becomes narrower, most of them break lines that no longer fit, which then take several
 * rows; those are erased with the next frame.
 */
export class LiveLines {
  readonly #stream: TerminalStream & Partial<Resizable>;
  readonly #showCursor = (): void => void this.#stream.write(SHOW_CURSOR);
  readonly #onResize: (() => void) | undefined;
  #lines: readonly string[] = [];
  /** Columns when they were drawn. */
  #width = 0;
  #isOpen = false;

  /** @param o onResize draws a frame for the new size */
  constructor(stream: TerminalStream & Partial<Resizable>, o: { readonly onResize?: () => void } = {}) {
    this.#stream = stream;
    this.#onResize = o.onResize;
  }

  /** Shows these instead of the last ones; no lines at all are allowed. */
  draw(lines: readonly string[]): void {
    this.#open();
    const text = this.#columns() === this.#width ? this.#changed(lines) : this.#anew(lines);
    this.#keep(lines);
    this.#write(text);
  }

  /** Puts text above the lines, where it stays. */
  above(text: string): void {
    this.#open();
    const kept = text
      .replace(/\n$/, '')
      .split('\n')
      .map((line) => this.#over(line));
    this.#write([this.#toFirst(), ...kept, ...this.#lines.map((line) => this.#over(line))].join(''));
    this.#width = this.#columns();
  }

  /** Takes the lines away. */
  clear(): void {
    if (this.#lines.length > 0) this.#write(`${this.#toFirst()}${ERASE_FROM_HERE}`);
    this.#keep([]);
  }

  /** Leaves the lines where they are, and gives the cursor back. Drawing again begins below them. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    process.off('exit', this.#showCursor);
    if (this.#onResize !== undefined) this.#stream.off?.('resize', this.#onResize);
    this.#keep([]);
    this.#showCursor();
  }

  #open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#width = this.#columns();
    // However the process ends, unless it is killed.
    process.on('exit', this.#showCursor);
    if (this.#onResize !== undefined) this.#stream.on?.('resize', this.#onResize);
    this.#stream.write(HIDE_CURSOR);
  }

  /** From the row below the last line and back there, over those that are not as they were. */
  #changed(lines: readonly string[]): string {
    const before = this.#lines;
    const parts: string[] = [];
    let row = before.length;
    lines.forEach((line, at) => {
      if (line === before[at]) return;
      parts.push(moveRows(at - row), this.#over(line));
      row = at + 1;
    });
    if (lines.length < before.length) {
      parts.push(moveRows(lines.length - row), ERASE_FROM_HERE);
      row = lines.length;
    }
    return [...parts, moveRows(lines.length - row)].join('');
  }

  /** All of them, over the rows that the last ones take in a terminal of another width. */
  #anew(lines: readonly string[]): string {
    return [this.#toFirst(), ERASE_FROM_HERE, ...lines.map((line) => this.#over(line))].join('');
  }

  #toFirst(): string {
    const columns = this.#columns();
    const rows = this.#lines.reduce((sum, line) => sum + rowsTaken(line, columns), 0);
    return moveRows(-Math.min(rows, rowsOf(this.#stream) - 1));
  }

  /** A line over what is on its row, with the cursor on the next one. */
  #over(line: string): string {
    const length = stripVTControlCharacters(line).length;
    // A cursor behind the last column stands on it, and what it erased would be the last letter.
    const isFull = length > 0 && length % this.#columns() === 0;
    return `${line}${isFull ? '' : ERASE_LINE_END}\n`;
  }

  #keep(lines: readonly string[]): void {
    this.#lines = [...lines];
    this.#width = this.#columns();
  }

  #columns(): number {
    return columnsOf(this.#stream, {});
  }

  #write(text: string): void {
    if (text !== '') this.#stream.write(`${BEGIN_UPDATE}${text}${END_UPDATE}`);
  }
}

function rowsTaken(line: string, columns: number): number {
  return Math.max(1, Math.ceil(stripVTControlCharacters(line).length / columns));
}

/** The cursor so many rows down, or up, to the first column. */
function moveRows(rows: number): string {
  if (rows === 0) return '';
  return rows < 0 ? `\x1b[${-rows}F` : `\x1b[${rows}E`;
}
