/**
 * The layers that a daemon is just offering to its containerd, which asks the same daemon for them: by this its snapshotter knows that
 * it is asked on its own behalf.
 */
export class OwnOffers {
  readonly #keys = new Set<string>();

  /** @param key of a snapshot, as it is asked for at containerd, which puts a namespace and a number before it */
  isOwn(key: string): boolean {
    return this.#keys.has(key.slice(key.lastIndexOf('/') + 1));
  }

  /** Makes an offer, known by a key without a slash until it ends. */
  async during<T>(key: string, offer: () => Promise<T>): Promise<T> {
    this.#keys.add(key);
    try {
      return await offer();
    } finally {
      this.#keys.delete(key);
    }
  }
}
