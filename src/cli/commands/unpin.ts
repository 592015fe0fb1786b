import type { CommandContext, CommandResult } from '../command-context.js';
import { setPinned } from './pin.js';

export function unpinCommand(names: readonly string[], context: CommandContext): CommandResult {
  return setPinned(names, false, context);
}
