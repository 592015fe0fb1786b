import type { CommandContext } from '../command-context.js';
import type { ProgressMode } from '../settings.js';
import { canDraw } from '../terminal.js';
import type { ProgressEvent } from './pull-model.js';

/** Shows what pulls tell, on standard error. */
export interface ProgressDisplay {
  show(event: ProgressEvent): void;
  /** Draws the last state and leaves the terminal as it was; nothing is shown after it. */
  finish(): void;
}

export interface ProgressDisplayOptions {
  /** Whether layers are unpacked, or only downloaded. */
  readonly unpack: boolean;
  /** Only the result is wanted, so that `auto` means none. */
  readonly quiet?: boolean;
}

/** The display that `--progress` asks for; drawing code is loaded only where it draws. */
export async function openProgressDisplay(
  context: CommandContext,
  options: ProgressDisplayOptions,
): Promise<ProgressDisplay> {
  switch (chosenMode(context, options)) {
    case 'none':
      return { show: () => undefined, finish: () => undefined };
    case 'json':
      return {
        show: (event) => {
          // A failure is told by the error object.
          if (event.type !== 'failed') context.log.write(`${JSON.stringify(event)}\n`);
        },
        finish: () => undefined,
      };
    case 'plain': {
      const { PlainDisplay } = await import('./plain-display.js');
      return new PlainDisplay(context.log, options);
    }
    case 'bars': {
      const { openBarsDisplay } = await import('./bars-display.js');
      return openBarsDisplay(context, options);
    }
  }
}

function chosenMode(
  { settings, stderr, env }: CommandContext,
  { quiet = false }: ProgressDisplayOptions,
): Exclude<ProgressMode, 'auto'> | 'bars' {
  if (settings.progress !== 'auto') return settings.progress;
  if (quiet) return 'none';
  return canDraw(stderr, env) ? 'bars' : 'plain';
}
