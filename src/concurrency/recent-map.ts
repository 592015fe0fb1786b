/** A map with a bound: beyond it, the entry that was set longest ago goes. */
export class RecentMap<K, V> extends Map<K, V> {
  readonly #most: number;

  /** @param most entries, from 1 on */
  constructor(most: number) {
    super();
    this.#most = most;
  }

  override set(key: K, value: V): this {
    this.delete(key);
    super.set(key, value);
    for (const oldest of this.keys()) {
      if (this.size <= this.#most) break;
      this.delete(oldest);
    }
    return this;
  }
}
