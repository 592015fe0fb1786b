import type { Credentials, RegistryClient } from '../../registry/index.js';

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

/**
 * A registry client with the credentials of a request, which only their registry sees; without any, the
 * daemon's own.
 *
 * @param host as references name the registry: `docker.io`, `127.0.0.1:5000`
 */
export function registryFor(
  registry: RegistryClient,
  host: string,
  credentials: Credentials | undefined,
): RegistryClient {
  if (credentials === undefined) return registry;
  return registry.withCredentials((asked) => Promise.resolve(asked === host ? credentials : undefined));
}
