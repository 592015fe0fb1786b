import type { Command } from 'commander';

/** Lines to type, and what they are for. */
export interface Examples {
  /** What somebody wants who types them; absent where the command itself says it. */
  readonly purpose?: string;
  /** Each as it is typed in a shell. */
  readonly lines: readonly string[];
}

const EXAMPLES = new WeakMap<Command, readonly Examples[]>();

/** Says what to show as a command's examples: in its help, above the options, and in its manual page. */
export function setExamples(command: Command, examples: readonly Examples[]): void {
  EXAMPLES.set(command, examples);
}

export function examplesOf(command: Command): readonly Examples[] {
  return EXAMPLES.get(command) ?? [];
}
