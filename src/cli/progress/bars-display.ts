import type { CommandContext } from '../output/command-context.js';
import { columnsOf, rowsOf, showsUnicode, wantsColor } from '../output/terminal.js';
import { LiveLines } from './live-lines.js';
import {
  emptyPullModel,
  PendingEvents,
  type ProgressEvent,
  type PullModel,
  reducePull,
} from './pull-model.js';
import type { ProgressDisplay, ProgressDisplayOptions } from './pull-model.js';
import { renderPulls } from './render-pull.js';

/** Milliseconds between frames. */
const FRAME = 80;

export function openBarsDisplay(context: CommandContext, options: ProgressDisplayOptions): ProgressDisplay {
  return new BarsDisplay(context, options);
}

/** One bar per layer, redrawn in place. Lines of the log go above the bars while these are shown. */
class BarsDisplay implements ProgressDisplay {
  readonly #context: CommandContext;
  readonly #lines: LiveLines;
  readonly #pending = new PendingEvents();
  readonly #timer: NodeJS.Timeout;
  readonly #begun: number = performance.now();
  readonly #release: () => void;
  #model: PullModel;
  #finished = false;

  constructor(context: CommandContext, options: ProgressDisplayOptions) {
    this.#context = context;
    this.#model = emptyPullModel(options);
    this.#lines = new LiveLines(context.stderr, { onResize: () => this.#frame() });
    this.#timer = setInterval(() => this.#frame(), FRAME).unref();
    this.#release = context.log.divert((text) => this.#lines.above(text));
  }

  show(event: ProgressEvent): void {
    this.#pending.add(event);
  }

  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    clearInterval(this.#timer);
    this.#frame();
    this.#lines.close();
    this.#release();
  }

  #frame(): void {
    for (const event of this.#pending.take()) this.#model = reducePull(this.#model, event);
    if (this.#model.pulls.length === 0) return;
    const { stderr, env } = this.#context;
    const lines = renderPulls(this.#model, {
      width: columnsOf(stderr, env),
      height: rowsOf(stderr),
      now: performance.now() - this.#begun,
      unicode: showsUnicode(env),
      color: wantsColor(stderr, env),
    });
    this.#lines.draw(lines);
  }
}
