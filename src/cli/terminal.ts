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
