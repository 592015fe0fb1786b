/**
 * What a terminal shows after some bytes: rows of letters, and where the cursor is. Understands what landfall
 * writes and no more.
 */
export interface Frame {
  /** All rows, without blanks at their ends; those that scrolled away come first. */
  readonly rows: readonly string[];
  /** Rows of it that have scrolled away. */
  readonly scrolled: number;
}

/** Letters, a control, or an escape sequence that ends with a letter. */
// eslint-disable-next-line no-control-regex -- it is about controls
const TOKENS = /\x1b\[[?]?[0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+/gu;

/**
 * A terminal of so many columns and rows that is fed all that a program writes. Other than a real one it
 * throws at what nobody should write, and shows each update as a whole: what is between the marks of a
 * synchronized one.
 */
export class Screen {
  /** What was to be seen at the end of each update. */
  readonly frames: Frame[] = [];
  /** Escape sequences, without those for colours. */
  readonly sequences: string[] = [];
  isCursorShown = true;
  readonly #columns: number;
  readonly #rows: number;
  readonly #lines: string[][] = [[]];
  /** Rows that go on in the next one, since there was no room. */
  readonly #wrapped = new Set<number>();
  #row = 0;
  #column = 0;

  constructor(columns: number, rows: number) {
    this.#columns = columns;
    this.#rows = rows;
  }

  feed(text: string): void {
    const tokens = text.match(TOKENS) ?? [];
    if (tokens.join('') !== text) throw new Error(`not understood: ${JSON.stringify(text)}`);
    for (const token of tokens) {
      if (token === '\r') this.#column = 0;
      else if (token === '\n') this.#down();
      else if (token.startsWith('\x1b')) this.#obey(token);
      else for (const letter of token) this.#put(letter);
    }
  }

  get frame(): Frame {
    const rows = this.#lines.map((line) =>
      Array.from(line, (letter: string | undefined) => letter ?? ' ')
        .join('')
        .trimEnd(),
    );
    return { rows, scrolled: this.#top };
  }

  /** As a terminal shows it. */
  get text(): string {
    return this.frame.rows.join('\n').trimEnd();
  }

  /** As it was written: what takes several rows is one line. */
  get lines(): readonly string[] {
    const { rows } = this.frame;
    const joined = rows.map((row, at) => (this.#wrapped.has(at) ? row : `${row}\n`)).join('');
    return joined.trimEnd().split('\n');
  }

  get #top(): number {
    return Math.max(0, this.#lines.length - this.#rows);
  }

  #put(letter: string): void {
    if (this.#column >= this.#columns) {
      this.#wrapped.add(this.#row);
      this.#column = 0;
      this.#down();
    }
    (this.#lines[this.#row] ??= [])[this.#column] = letter;
    this.#column += 1;
  }

  #down(): void {
    this.#row += 1;
    while (this.#lines.length <= this.#row) this.#lines.push([]);
  }

  #obey(sequence: string): void {
    if (sequence.endsWith('m')) return;
    this.sequences.push(sequence);
    const count = Number(/(\d+)/.exec(sequence)?.[1] ?? 1);
    switch (sequence.replace(/(?<!\?)\d+(?=[A-Z])/, '')) {
      case '\x1b[F':
        this.#row = Math.max(this.#top, this.#row - count);
        this.#column = 0;
        return;
      case '\x1b[E':
        this.#row = Math.min(this.#top + this.#rows - 1, this.#row + count);
        this.#column = 0;
        return;
      case '\x1b[K':
        this.#lines[this.#row]?.splice(this.#column);
        return;
      case '\x1b[J':
        this.#lines[this.#row]?.splice(this.#column);
        this.#lines.splice(this.#row + 1);
        return;
      case '\x1b[?25l':
        this.isCursorShown = false;
        return;
      case '\x1b[?25h':
        this.isCursorShown = true;
        return;
      case '\x1b[?2026h':
        return;
      case '\x1b[?2026l':
        this.frames.push(this.frame);
        return;
      default:
        throw new Error(`not understood: ${JSON.stringify(sequence)}`);
    }
  }
}
