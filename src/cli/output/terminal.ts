/** An output stream as the commands use it; Node's own streams are such. */
export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string | Uint8Array): boolean;
}

/** Whether bars can be drawn: a terminal that can move its cursor. */
export function canDraw(stream: TerminalStream, env: Readonly<Record<string, string | undefined>>): boolean {
  return stream.isTTY === true && env['TERM'] !== 'dumb';
}

/** https://no-color.org: set and not empty means none. */
export function wantsColor(
  stream: TerminalStream,
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  return canDraw(stream, env) && (env['NO_COLOR'] ?? '') === '';
}

/** Whether the locale says that the terminal shows more than ASCII. */
export function showsUnicode(env: Readonly<Record<string, string | undefined>>): boolean {
  const locale = [env['LC_ALL'], env['LC_CTYPE'], env['LANG']].find((value) => (value ?? '') !== '');
  return /utf-?8/i.test(locale ?? '');
}

/** Columns for text that is wrapped: those of the terminal, else what COLUMNS says, else 80. */
export function columnsOf(stream: TerminalStream, env: Readonly<Record<string, string | undefined>>): number {
  // A terminal whose size was never set says 0.
  if (stream.isTTY === true && (stream.columns ?? 0) > 0) return stream.columns ?? 80;
  return /^[1-9]\d{0,3}$/.test(env['COLUMNS'] ?? '') ? Number(env['COLUMNS']) : 80;
}

/** Rows of the terminal, where it has been told how many it has. */
export function rowsOf(stream: TerminalStream): number {
  return (stream.rows ?? 0) > 0 ? (stream.rows ?? 24) : 24;
}

/** The columns that a table has to fit; undefined where nothing is cut, since a program may read it. */
export function tableWidth(
  stream: TerminalStream,
  env: Readonly<Record<string, string | undefined>>,
): number | undefined {
  return stream.isTTY === true ? columnsOf(stream, env) : undefined;
}
