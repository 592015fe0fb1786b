import type { CommandContext } from '../output/command-context.js';
import type { ProgressMode } from '../config/settings.js';
import { canDraw } from '../output/terminal.js';
import type { ProgressDisplay, ProgressDisplayOptions } from './pull-model.js';

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
          // The error object reports a failure.
          if (event.type !== 'failed') context.log.write(`${JSON.stringify(event)}\n`);
        },
        finish: () => undefined,
      };
    case 'plain': {
      const { PlainDisplay } = await import('./plain-display.js');
      return new PlainDisplay(context.log, options);
    }
    case 'bars': {
      const { BarsDisplay } = await import('./render-pull.js');
      return new BarsDisplay(context, options);
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
