import type { Descriptor } from '../../spec/index.js';

interface Seen {
  /** What the tag led to when that was last told. */
  readonly target: Descriptor | undefined;
  /** By `performance.now()`: until then nobody is asked. */
  readonly until: number;
  /** Why what is here is given in the place of an answer from there. */
  readonly warning: string | undefined;
}

/** So many tags are remembered; the oldest go. What is forgotten is only asked for sooner. */
const MOST = 50_000;

/** What upstreams have said of tags lately. */
export class TagMemory {
  readonly #seen = new Map<string, Seen>();

  /** What holds of a name at the moment; undefined where its upstream is to be asked. */
  fresh(name: string): Seen | undefined {
    const seen = this.#seen.get(name);
    return seen !== undefined && performance.now() < seen.until ? seen : undefined;
  }

  /** What a name led to, however long ago; undefined where that was never told. */
  last(name: string): Descriptor | undefined {
    return this.#seen.get(name)?.target;
  }

  note(
    name: string,
    { target, forMs, warning }: { target: Descriptor | undefined; forMs: number; warning?: string },
  ): void {
    this.#seen.delete(name);
    this.#seen.set(name, { target, until: performance.now() + forMs, warning });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MOST && oldest !== undefined) this.#seen.delete(oldest);
  }
}
