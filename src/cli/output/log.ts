import { paint, printable } from '../format/text.js';
import { LOG_LEVELS, type LogFormat, type LogLevel } from '../config/settings.js';

/** Where finished lines go; each text ends with a line feed. */
export type LineSink = (text: string) => void;

const MARKS = { warn: 'warning: ', info: '', debug: 'debug: ' } as const;

/** The fields of a line, for programs that read it. */
export type LogFields = Readonly<Record<string, string | number | undefined>>;

/**
 * Everything that goes to standard error passes here, so that a line never tears the progress bars: while
 * they are shown they take the lines and put them above themselves.
 */
export class Log {
  readonly #level: LogLevel;
  readonly #format: LogFormat;
  readonly #stream: LineSink;
  /** Whether what is written may have colours. */
  readonly color: boolean;
  #sink: LineSink;

  constructor(level: LogLevel, stream: LineSink, format: LogFormat = 'text', color = false) {
    this.#level = level;
    this.color = color;
    this.#format = format;
    this.#stream = stream;
    this.#sink = stream;
  }

  /** Whatever the level is: errors, progress. Text that ends with a line feed. */
  write(text: string): void {
    this.#sink(text);
  }

  warn(message: string, info?: LogFields): void {
    this.#line('warn', message, info);
  }

  info(message: string, info?: LogFields): void {
    this.#line('info', message, info);
  }

  debug(message: string, info?: LogFields): void {
    this.#line('debug', message, info);
  }

  #line(level: keyof typeof MARKS, message: string, info: LogFields = {}): void {
    if (!this.shows(level)) return;
    this.write(
      this.#format === 'json'
        ? `${JSON.stringify({ time: new Date().toISOString(), level, message, ...info })}\n`
        : `landfall: ${this.#markOf(level)}${printable(message)}\n`,
    );
  }

  #markOf(level: keyof typeof MARKS): string {
    return level === 'warn' && this.color ? paint('yellow', MARKS.warn) : MARKS[level];
  }

  shows(level: LogLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(this.#level);
  }

  /** Sends lines elsewhere until the function that it returns is called. */
  divert(sink: LineSink): () => void {
    this.#sink = sink;
    return () => (this.#sink = this.#stream);
  }
}
