import type { SyncedImage, SyncEvent } from '../../transfer/sync/sync-result.js';
import type { CommandContext } from '../output/command-context.js';
import { countOf, formatSize, printable } from '../format/text.js';
import { type EventDisplay, openEventDisplay, type Tally } from './event-display.js';

/** The display that `--progress` asks for. Warnings are told in any case. */
export function openSyncDisplay(context: CommandContext): EventDisplay<SyncEvent> {
  return openEventDisplay(context, { tally: new SyncTally(), news: lineOf, json: plainEvent });
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

/** What has been told so far of one destination. */
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
