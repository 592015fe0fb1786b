import type { Digest } from '../../spec/index.js';
import type { CopyEvent } from '../../transfer/copy/copy-report.js';
import type { SyncedImage, SyncEvent } from '../../transfer/sync/sync-result.js';
import { countOf, fitEnd, printable } from '../format/text.js';
import type { CommandContext } from '../output/command-context.js';
import { canDraw, columnsOf } from '../output/terminal.js';
import { LiveLines } from './live-lines.js';
import { rateOf, type Samples, withSample } from './rate.js';
import { formatPart, formatRate, formatSize } from '../../spec/index.js';

/** Shows how copies go on, on standard error. */
export interface EventDisplay<E> {
  show(event: E): void;
  /** Leaves the terminal as it was, for a question, or for good. */
  finish(): void;
}

/** The sum of the events so far. */
interface Tally<E> {
  /** Whether a line would say nothing yet; a terminal is left alone until then. */
  readonly isEmpty?: boolean;
  add(event: E): void;
  /** The progress so far. */
  line(): string;
}

export interface EventDisplayOptions<E> {
  readonly tally: Tally<E>;
  /**
   * The line that an event is worth, in a log, and above the line that is drawn in a terminal.
   */
  readonly news: (event: E, isDrawn: boolean) => string | undefined;
  readonly json: (event: E) => object;
  /** Only the result is wanted, so that `auto` means none. */
  readonly quiet?: boolean | undefined;
}

const FRAME_MS = 100;
/** Of silence, after which a log gets a line that says how far it is. */
const HEARTBEAT_MS = 10_000;

/** The display that `--progress` asks for. Warnings are told in any case. */
function openEventDisplay<E extends { readonly type: string; readonly message?: string }>(
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

/** The display that `--progress` asks for. Warnings are told in any case. */
export function openCopyDisplay(
  context: CommandContext,
  { quiet }: { readonly quiet?: boolean } = {},
): EventDisplay<CopyEvent> {
  return openEventDisplay(context, {
    tally: new CopyTally(),
    news: (event, isDrawn) =>
      isDrawn || event.type !== 'image'
        ? undefined
        : `copying ${printable(event.source)} to ${printable(event.destination)}`,
    json: (event) => event,
    quiet,
  });
}

/** The sum of the events so far. */
class CopyTally implements Tally<CopyEvent> {
  #images = 0;
  #bytes = 0;
  readonly #underWay = new Map<Digest, { size: number; bytes: number }>();
  #samples: Samples = [];

  get isEmpty(): boolean {
    return this.#images === 0;
  }

  add(event: CopyEvent): void {
    if (event.type === 'image') this.#images += 1;
    if (event.type !== 'content') return;
    const { digest, size } = event.descriptor;
    if (event.state === 'copying') {
      this.#underWay.set(digest, { size, bytes: event.bytes });
    } else {
      this.#underWay.delete(digest);
      if (event.state === 'copied') this.#bytes += size;
    }
    this.#samples = withSample(this.#samples, { at: performance.now(), bytes: this.#total });
  }

  /** Bytes that have been copied, of what is still under way too. */
  get #total(): number {
    return [...this.#underWay.values()].reduce((sum, { bytes }) => sum + bytes, this.#bytes);
  }

  line(): string {
    const moving = [...this.#underWay.values()];
    const part = moving.reduce((sum, { bytes }) => sum + bytes, 0);
    const size = moving.reduce((sum, each) => sum + each.size, 0);
    const rate = rateOf(this.#samples, performance.now());
    return [
      `image ${this.#images}`,
      `${formatSize(this.#total)} copied`,
      ...(moving.length === 0 ? [] : [`${moving.length} on the way: ${formatPart(part, size)}`]),
      ...(rate === undefined || rate === 0 ? [] : [formatRate(rate)]),
    ].join(', ');
  }
}

/** The display that `--progress` asks for. Warnings are told in any case. */
export function openSyncDisplay(context: CommandContext): EventDisplay<SyncEvent> {
  return openEventDisplay(context, { tally: new SyncTally(), news: syncLine, json: plainEvent });
}

/** Without what is long, and with errors as text. */
function plainEvent(event: SyncEvent): object {
  if (event.type === 'pruned') {
    const { destination, digest, outcome } = event.tag;
    return { type: event.type, destination, digest, outcome };
  }
  if (event.type !== 'synced') return event;
  const { source, destination, outcome, target, bytes } = event.image;
  const { type, done, total } = event;
  return { type, source, destination, outcome, bytes, done, total, digest: target?.digest };
}

/** The sum of the events so far, for one destination. */
class SyncTally implements Tally<SyncEvent> {
  #destination = '';
  #done = 0;
  #total = 0;
  #bytes = 0;
  #failed = 0;

  add(event: SyncEvent): void {
    if (event.type === 'planned') {
      this.#destination = event.destination;
      this.#done = 0;
      this.#total = event.images;
    }
    if (event.type !== 'synced') return;
    this.#done = event.done;
    this.#bytes += event.image.bytes;
    if (event.image.outcome === 'failed') this.#failed += 1;
  }

  line(): string {
    const parts = [`${this.#done} of ${countOf(this.#total, 'image')}`, formatSize(this.#bytes)];
    if (this.#failed > 0) parts.push(`${this.#failed} failed`);
    return `${printable(this.#destination)}: ${parts.join(', ')}`;
  }
}

/** The line of an event: an image that is there already is only counted. */
function syncLine(event: SyncEvent): string | undefined {
  if (event.type === 'planned') {
    const { destination, images, repositories } = event;
    return `${printable(destination)}: ${countOf(images, 'image')} in ${repositories} ${repositories === 1 ? 'repository' : 'repositories'}`;
  }
  if (event.type === 'pruned') return `${event.tag.outcome} ${printable(event.tag.destination)}`;
  if (event.type !== 'synced') return undefined;
  return imageLine(event.image, `[${event.done}/${event.total}]`);
}

function imageLine({ outcome, source, destination, bytes }: SyncedImage, count: string): string | undefined {
  const names = `${printable(source)} -> ${printable(destination)}`;
  switch (outcome) {
    case 'exists':
    case 'unchanged':
      return undefined;
    case 'copied':
      return `${count} copied ${names} (${formatSize(bytes)})`;
    case 'planned':
      return `${count} would copy ${names} (${formatSize(bytes)})`;
    case 'failed':
      return `${count} failed ${names}`;
  }
}
