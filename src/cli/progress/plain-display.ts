import type { Log } from '../log.js';
import { heartbeatLine, plainLines } from './plain-lines.js';
import type { ProgressDisplay } from './progress-display.js';
import { emptyPullModel, type ProgressEvent, type PullModel, pullTotals, reducePull } from './pull-model.js';

/** Milliseconds of silence after which a pull that still downloads says how far it is. */
const HEARTBEAT = 10_000;

/** Plain lines, for logs and pipes. */
export class PlainDisplay implements ProgressDisplay {
  readonly #log: Pick<Log, 'write'>;
  readonly #timer: NodeJS.Timeout;
  readonly #bytes = new Map<string, number>();
  #model: PullModel;

  constructor(log: Pick<Log, 'write'>, options: { readonly unpack: boolean }) {
    this.#log = log;
    this.#model = emptyPullModel(options);
    this.#timer = setInterval(() => this.#beat(), HEARTBEAT).unref();
  }

  show(event: ProgressEvent): void {
    const before = this.#model;
    this.#model = reducePull(before, event);
    const lines = plainLines(before, this.#model, event);
    if (lines.length === 0) return;
    this.#timer.refresh();
    for (const line of lines) this.#log.write(`${line}\n`);
  }

  finish(): void {
    clearInterval(this.#timer);
  }

  #beat(): void {
    for (const pull of this.#model.pulls) {
      const { bytes } = pullTotals(this.#model, pull);
      const before = this.#bytes.get(pull.reference) ?? 0;
      this.#bytes.set(pull.reference, bytes);
      if (pull.phase !== 'pulling' || pull.layers.length === 0) continue;
      this.#log.write(`${heartbeatLine(this.#model, pull, ((bytes - before) * 1000) / HEARTBEAT)}\n`);
    }
  }
}
