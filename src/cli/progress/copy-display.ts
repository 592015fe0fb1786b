import type { Digest } from '../../spec/index.js';
import type { CopyEvent } from '../../transfer/copy/copy-report.js';
import type { CommandContext } from '../output/command-context.js';
import { fitEnd, printable } from '../format/table.js';
import { formatPart, formatRate, formatSize } from '../format/size.js';
import { canDraw, columnsOf } from '../output/terminal.js';
import { LiveLines } from './live-lines.js';
import { rateOf, type Samples, withSample } from './rate.js';

/** Shows how copies go on, on standard error. */
export interface CopyDisplay {
  show(event: CopyEvent): void;
  /** Leaves the terminal as it was. */
  finish(): void;
}

const FRAME_MS = 100;
/** Of silence, after which a copy into a file or a pipe says how far it is. */
const HEARTBEAT_MS = 10_000;

/** The display that `--progress` asks for. Warnings are told in any case. */
export function openCopyDisplay(
  context: CommandContext,
  { quiet = false }: { readonly quiet?: boolean } = {},
): CopyDisplay {
  const { log, settings, stderr, env } = context;
  const warned = (display: CopyDisplay): CopyDisplay => ({
    show: (event) => {
      if (event.type === 'warning') log.warn(event.message);
      display.show(event);
    },
    finish: () => display.finish(),
  });
  const mode = settings.progress === 'auto' && quiet ? 'none' : settings.progress;
  switch (mode) {
    case 'none':
      return warned({ show: () => undefined, finish: () => undefined });
    case 'json':
      return { show: (event) => log.write(`${JSON.stringify(event)}\n`), finish: () => undefined };
    case 'plain':
      return warned(new PlainCopyDisplay(context));
    case 'auto':
      return warned(canDraw(stderr, env) ? openLineDisplay(context) : new PlainCopyDisplay(context));
  }
}

/** What has been told so far. */
class CopyTally {
  images = 0;
  contents = 0;
  bytes = 0;
  readonly #underWay = new Map<Digest, { size: number; bytes: number }>();
  #samples: Samples = [];

  add(event: CopyEvent): void {
    if (event.type === 'image') this.images += 1;
    if (event.type !== 'content') return;
    const { digest, size } = event.descriptor;
    if (event.state === 'copying') {
      this.#underWay.set(digest, { size, bytes: event.bytes });
    } else {
      this.#underWay.delete(digest);
      this.contents += 1;
      if (event.state === 'copied') this.bytes += size;
    }
    this.#samples = withSample(this.#samples, { at: performance.now(), bytes: this.total });
  }

  /** Bytes that have been copied, of what is still under way too. */
  get total(): number {
    return [...this.#underWay.values()].reduce((sum, { bytes }) => sum + bytes, this.bytes);
  }

  line(): string {
    const moving = [...this.#underWay.values()];
    const part = moving.reduce((sum, { bytes }) => sum + bytes, 0);
    const size = moving.reduce((sum, each) => sum + each.size, 0);
    const rate = rateOf(this.#samples, performance.now());
    return [
      `image ${this.images}`,
      `${formatSize(this.total)} copied`,
      ...(moving.length === 0 ? [] : [`${moving.length} on the way: ${formatPart(part, size)}`]),
      ...(rate === undefined || rate === 0 ? [] : [formatRate(rate)]),
    ].join(', ');
  }
}

/** A line for each image that is begun, and one now and then. */
class PlainCopyDisplay implements CopyDisplay {
  readonly #context: CommandContext;
  readonly #tally = new CopyTally();
  readonly #timer: NodeJS.Timeout;

  constructor(context: CommandContext) {
    this.#context = context;
    this.#timer = setInterval(() => context.log.write(`${this.#tally.line()}\n`), HEARTBEAT_MS).unref();
  }

  show(event: CopyEvent): void {
    this.#tally.add(event);
    if (event.type !== 'image') return;
    this.#timer.refresh();
    this.#context.log.write(`copying ${printable(event.source)} to ${printable(event.destination)}\n`);
  }

  finish(): void {
    clearInterval(this.#timer);
  }
}

/** One line that is drawn in its place. */
function openLineDisplay({ stderr, log, env }: CommandContext): CopyDisplay {
  const tally = new CopyTally();
  const frame = (): void => {
    if (tally.images > 0) lines.draw([fitEnd(tally.line(), columnsOf(stderr, env) - 1)]);
  };
  const lines = new LiveLines(stderr, { onResize: frame });
  const timer = setInterval(frame, FRAME_MS).unref();
  const release = log.divert((text) => lines.above(text));
  return {
    show: (event) => tally.add(event),
    finish: () => {
      clearInterval(timer);
      lines.clear();
      lines.close();
      release();
    },
  };
}
