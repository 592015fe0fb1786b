import { fitEnd } from '../format/text.js';
import type { CommandContext } from '../output/command-context.js';
import { canDraw, columnsOf } from '../output/terminal.js';
import { LiveLines } from './live-lines.js';

/** Shows how copies go on, on standard error. */
export interface EventDisplay<E> {
  show(event: E): void;
  /** Leaves the terminal as it was, for a question, or for good. */
  finish(): void;
}

/** What has been told so far. */
export interface Tally<E> {
  /** Whether a line would say nothing yet; a terminal is left alone until then. */
  readonly isEmpty?: boolean;
  add(event: E): void;
  /** How far it is. */
  line(): string;
}

export interface EventDisplayOptions<E> {
  readonly tally: Tally<E>;
  /**
   * What of an event is worth a line of its own, in a log, and above the line that is drawn in a terminal.
   */
  readonly news: (event: E, isDrawn: boolean) => string | undefined;
  readonly json: (event: E) => object;
  /** Only the result is wanted, so that `auto` means none. */
  readonly quiet?: boolean | undefined;
}

const FRAME_MS = 100;
/** Of silence, after which a log is told how far it is. */
const HEARTBEAT_MS = 10_000;

/** The display that `--progress` asks for. Warnings are told in any case. */
export function openEventDisplay<E extends { readonly type: string; readonly message?: string }>(
  context: CommandContext,
  o: EventDisplayOptions<E>,
): EventDisplay<E> {
  const { log, settings, stderr, env } = context;
  const mode = settings.progress === 'auto' && o.quiet === true ? 'none' : settings.progress;
  if (mode === 'json') {
    return { show: (event) => log.write(`${JSON.stringify(o.json(event))}\n`), finish: () => undefined };
  }
  const open = mode === 'auto' && canDraw(stderr, env) ? openLine : openPlain;
  const display = mode === 'none' ? undefined : open(context, o);
  return {
    show: (event) => {
      if (event.type === 'warning') log.warn(event.message ?? '');
      display?.show(event);
    },
    finish: () => display?.finish(),
  };
}

/** Plain lines, for logs and pipes. */
function openPlain<E>({ log }: CommandContext, { tally, news }: EventDisplayOptions<E>): EventDisplay<E> {
  const write = (line: string): void => log.write(`${line}\n`);
  const timer = setInterval(() => write(tally.line()), HEARTBEAT_MS).unref();
  return {
    show: (event) => {
      tally.add(event);
      const line = news(event, false);
      if (line === undefined) return;
      timer.refresh();
      write(line);
    },
    finish: () => clearInterval(timer),
  };
}

/** One line that is drawn anew in its place. */
function openLine<E>(
  { stderr, env, log }: CommandContext,
  { tally, news }: EventDisplayOptions<E>,
): EventDisplay<E> {
  const frame = (): void => {
    if (tally.isEmpty !== true) lines.draw([fitEnd(tally.line(), columnsOf(stderr, env) - 1)]);
  };
  const lines = new LiveLines(stderr, { onResize: frame });
  let timer: NodeJS.Timeout | undefined;
  let release: (() => void) | undefined;
  return {
    show: (event) => {
      timer ??= setInterval(frame, FRAME_MS).unref();
      release ??= log.divert((text) => lines.above(text));
      tally.add(event);
      const line = news(event, true);
      if (line !== undefined) lines.above(line);
    },
    finish: () => {
      clearInterval(timer);
      lines.clear();
      lines.close();
      release?.();
      timer = release = undefined;
    },
  };
}
