import type { Digest } from '../../spec/index.js';
import type { CopyEvent } from '../../transfer/copy/copy-report.js';
import type { CommandContext } from '../output/command-context.js';
import { formatPart, formatRate, formatSize, printable } from '../format/text.js';
import { type EventDisplay, openEventDisplay, type Tally } from './event-display.js';
import { rateOf, type Samples, withSample } from './rate.js';

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

/** What has been told so far. */
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
