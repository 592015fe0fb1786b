import { withoutCredentials } from '../../spec/index.js';
import { type CommandContext, messageOf, reportError } from './command-context.js';
import { type ExitCode, exitCodeOf } from './exit-codes.js';

/** The outcome of one of several arguments. */
export type Outcome<T> =
  { readonly subject: string; readonly value: T } | { readonly subject: string; readonly error: unknown };

/** Tries something and keeps what came of it, so that one failure does not stop the others. */
export async function outcomeOf<T>(subject: string, attempt: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { subject, value: await attempt() };
  } catch (error) {
    return { subject, error };
  }
}

/** The values of those that did not fail. */
export function valuesOf<T>(outcomes: readonly Outcome<T>[]): readonly T[] {
  return outcomes.flatMap((outcome) => ('value' in outcome ? [outcome.value] : []));
}

/** Reports every failure on standard error; answers with the exit code of the first. */
export function reportFailures(outcomes: readonly Outcome<unknown>[], context: CommandContext): ExitCode {
  const failures = outcomes.filter((outcome) => 'error' in outcome);
  // Interrupted is interrupted once, however many were under way.
  const reported = context.signal.aborted ? failures.slice(0, 1) : failures;
  for (const { error, subject } of reported) {
    const isOneOfSeveral = outcomes.length > 1 && !context.signal.aborted;
    reportError(context, error, isOneOfSeveral ? shownSubject(subject, error) : undefined);
  }
  const first = failures[0];
  return first === undefined ? 0 : exitCodeOf(first.error);
}

/** Failures that another try may mend come last. */
const WORST_FIRST: readonly ExitCode[] = [143, 130, 6, 7, 8, 4, 3, 2, 1, 5];

/** The exit code of the worst failure. @param first that of the first one */
export function worstOf(outcomes: readonly Outcome<unknown>[], first: ExitCode): ExitCode {
  const codes = new Set(
    outcomes.flatMap((outcome) => ('error' in outcome ? [exitCodeOf(outcome.error)] : [])),
  );
  return WORST_FIRST.find((code) => codes.has(code)) ?? first;
}

/** Nothing where the message names it; a password in it is not shown. */
function shownSubject(subject: string, error: unknown): string | undefined {
  return messageOf(error).includes(subject) ? undefined : withoutCredentials(subject);
}
