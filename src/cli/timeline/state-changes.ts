import type { Span } from './timeline.js';

export interface StateChange<S extends string> {
  readonly state: S;
  readonly at: number;
  readonly bytes: number;
}

/** A connection that breaks all day long fills no memory. */
const MOST = 2000;

/** When something came into each of its states. Events that only say how far it is leave no trace but the last one. */
export class StateChanges<S extends string> {
  readonly #changes: StateChange<S>[] = [];

  /** Oldest first. */
  get all(): readonly StateChange<S>[] {
    return this.#changes;
  }

  add(state: S, at: number, bytes: number): void {
    const last = this.#changes.at(-1);
    if (last?.state === state) return;
    // Of too many, those in the middle say least: the one before the newest gives way to it.
    if (this.#changes.length >= MOST) this.#changes.pop();
    this.#changes.push({ state, at: Math.max(at, last?.at ?? at), bytes });
  }

  first(...states: readonly S[]): StateChange<S> | undefined {
    return this.#changes.find(({ state }) => states.includes(state));
  }

  last(...states: readonly S[]): StateChange<S> | undefined {
    return this.#changes.findLast(({ state }) => states.includes(state));
  }

  /** How long each state lasted; the last one until `end`. */
  spans(end: number): readonly (Span & { readonly state: S; readonly last: boolean })[] {
    return this.#changes.map(({ state, at }, i) => {
      const next = this.#changes[i + 1];
      return { state, start: at, end: next?.at ?? Math.max(at, end), last: next === undefined };
    });
  }
}
