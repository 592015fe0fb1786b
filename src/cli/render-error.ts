import { errorFacts, messageOf } from './error-facts.js';
import { printable } from './format/printable.js';

export interface RenderErrorOptions {
  /** Which of several arguments it was; told when the message does not name it. */
  readonly subject?: string | undefined;
}

/**
 * An error for people, in three lines at most: what failed, why when that adds something, what to do. Every line ends
 * with a line feed.
 */
export function renderError(error: unknown, options: RenderErrorOptions = {}): string {
  const { message, hint } = errorFacts(error);
  const { subject } = options;
  const named = subject === undefined || message.includes(subject) ? message : `${subject}: ${message}`;
  const why = causeThatAdds(error, message);
  return [
    `landfall: ${printable(named)}`,
    ...(why === undefined ? [] : [`  ${printable(why)}`]),
    `  hint: ${printable(hint)}`,
  ]
    .map((line) => `${line}\n`)
    .join('');
}

/** An error for programs: one JSON object on one line. */
export function renderErrorJson(error: unknown): string {
  return `${JSON.stringify(errorFacts(error))}\n`;
}

const LONGEST_WHY = 300;

/** The message of the nearest cause that says something which the error's own message does not. */
function causeThatAdds(error: unknown, told: string): string | undefined {
  let cause = error instanceof Error ? error.cause : undefined;
  for (let depth = 0; cause !== undefined && depth < 8; depth += 1) {
    const text = messageOf(cause).trim();
    if (text !== '' && !told.includes(text)) {
      return text.length > LONGEST_WHY ? `${text.slice(0, LONGEST_WHY)}…` : text;
    }
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return undefined;
}
