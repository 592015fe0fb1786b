import { printable } from './format/printable.js';
import { LOG_LEVELS, type LogLevel } from './settings.js';

/** Where finished lines go; each text ends with a line feed. */
export type LineSink = (text: string) => void;

/**
 * Everything that goes to standard error passes here, so that a line never tears the progress bars: while they are
 * shown they take the lines and put them above themselves.
 */
export class Log {
  readonly #level: LogLevel;
  readonly #stream: LineSink;
  #sink: LineSink;

  constructor(level: LogLevel, stream: LineSink) {
    this.#level = level;
    this.#stream = stream;
    this.#sink = stream;
  }

  /** Whatever the level is: errors, progress. Text that ends with a line feed. */
  write(text: string): void {
    this.#sink(text);
  }

  warn(message: string): void {
    if (this.shows('warn')) this.write(`landfall: warning: ${printable(message)}\n`);
  }

  info(message: string): void {
    if (this.shows('info')) this.write(`landfall: ${printable(message)}\n`);
  }

  debug(message: string): void {
    if (this.shows('debug')) this.write(`landfall: debug: ${printable(message)}\n`);
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
