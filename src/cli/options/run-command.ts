import type { CommandContext, CommandResult } from '../output/command-context.js';

/** Runs a command that the line named; its file is loaded only then. */
export type RunCommand = (command: (context: CommandContext) => CommandResult) => Promise<void>;
