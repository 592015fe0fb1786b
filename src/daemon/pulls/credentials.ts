import type { Credentials } from '../../registry/index.js';

/** How long they are kept, in milliseconds. */
const KEPT_MS = 10 * 60 * 1000;

/**
 * The credentials of recent pulls, for a containerd that asks for the same image a moment later: it does not
 * give its snapshotters those of a pod. They are in memory only, and for that reference only.
 */
export class KeptCredentials {
  readonly #kept = new Map<string, { readonly credentials: Credentials; readonly timer: NodeJS.Timeout }>();

  /** @param reference canonical */
  keep(reference: string, credentials: Credentials): void {
    clearTimeout(this.#kept.get(reference)?.timer);
    const timer = setTimeout(() => this.#kept.delete(reference), KEPT_MS);
    timer.unref();
    this.#kept.set(reference, { credentials, timer });
  }

  /** @param reference canonical */
  find(reference: string): Credentials | undefined {
    return this.#kept.get(reference)?.credentials;
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#kept.values()) clearTimeout(timer);
    this.#kept.clear();
  }
}
