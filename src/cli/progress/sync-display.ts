import type { SyncedImage, SyncEvent } from '../../transfer/sync/sync-result.js';
import type { CommandContext } from '../output/command-context.js';
import { countOf, formatSize } from '../format/size.js';
import { fitEnd, printable } from '../format/table.js';
import { canDraw, columnsOf } from '../output/terminal.js';
import { LiveLines } from './live-lines.js';

/** Shows how a sync goes on, on standard error. */
export interface SyncDisplay {
  show(event: SyncEvent): void;
  /** Leaves the terminal as it was, for somebody to be asked, or for good. */
  finish(): void;
}

const FRAME_MS = 100;
/** Of silence, after which a log is told how far it is. */
const HEARTBEAT_MS = 10_000;

/** The display that `--progress` asks for. Warnings are told in any case. */
export function openSyncDisplay(context: CommandContext): SyncDisplay {
  const { log, settings, stderr, env } = context;
  const { progress } = settings;
  if (progress === 'json') {
    return { show: (event) => log.write(`${JSON.stringify(plainEvent(event))}\n`), finish: () => undefined };
  }
  const warn = (event: SyncEvent): void => {
    if (event.type === 'warning') log.warn(event.message);
  };
  if (progress === 'none') return { show: warn, finish: () => undefined };
  const display =
    progress === 'auto' && canDraw(stderr, env)
      ? new LineSyncDisplay(context)
      : new PlainSyncDisplay(context);
  return {
    show: (event) => {
      warn(event);
      display.show(event);
    },
    finish: () => display.finish(),
  };
}

/** Without what is long, and with errors as text. */
function plainEvent(event: SyncEvent): object {
  if (event.type === 'pruned') {
    const { destination, digest, outcome } = event.tag;
    return { type: event.type, destination, digest, outcome };
  }
  if (event.type !== 'synced') return event;
  const { source, destination, outcome, target, bytes } = event.image;
  const { done, total } = event;
  return {
    type: event.type,
    ...{ source, destination, outcome, bytes, done, total },
    ...(target === undefined ? {} : { digest: target.digest }),
  };
}

/** What has been told so far of one destination. */
class SyncTally {
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

/** What is worth a line: an image that is there already is only counted. */
function lineOf(event: SyncEvent): string | undefined {
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

/** Plain lines, for logs and pipes. */
class PlainSyncDisplay implements SyncDisplay {
  readonly #context: CommandContext;
  readonly #tally = new SyncTally();
  readonly #timer: NodeJS.Timeout;

  constructor(context: CommandContext) {
    this.#context = context;
    this.#timer = setInterval(() => this.#write(this.#tally.line()), HEARTBEAT_MS).unref();
  }

  show(event: SyncEvent): void {
    this.#tally.add(event);
    const line = lineOf(event);
    if (line === undefined) return;
    this.#timer.refresh();
    this.#write(line);
  }

  finish(): void {
    clearInterval(this.#timer);
  }

  #write(line: string): void {
    this.#context.log.write(`${line}\n`);
  }
}

/** One line that is drawn anew, below those of the images. */
class LineSyncDisplay implements SyncDisplay {
  readonly #context: CommandContext;
  readonly #lines: LiveLines;
  readonly #tally = new SyncTally();
  #timer: NodeJS.Timeout | undefined;
  #release: (() => void) | undefined;

  constructor(context: CommandContext) {
    this.#context = context;
    this.#lines = new LiveLines(context.stderr, { onResize: () => this.#frame() });
  }

  show(event: SyncEvent): void {
    this.#begin();
    this.#tally.add(event);
    const line = lineOf(event);
    if (line !== undefined) this.#lines.above(line);
  }

  finish(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#lines.clear();
    this.#lines.close();
    this.#release?.();
    this.#release = undefined;
  }

  #begin(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#frame(), FRAME_MS).unref();
    this.#release = this.#context.log.divert((text) => this.#lines.above(text));
  }

  #frame(): void {
    this.#lines.draw([fitEnd(this.#tally.line(), columnsOf(this.#context.stderr, this.#context.env) - 1)]);
  }
}
