import type { Store } from '../engine/store.js';
import { type Abortable, throwIfAborted } from '../errors.js';
import { openRegistry, type RegistryClient } from '../registry/index.js';
import {
  type Access,
  createRegistryServer,
  PushAdmission,
  type ListenAddress,
  type ServedRequest,
  type ServeLimits,
  sourceOfStore,
  StoreTarget,
  type TlsIdentity,
} from '../serve/index.js';
import type { PolicyFile } from '../trust/index.js';

/** The store to serve, where, and to which users. */
export interface ServeOptions extends Abortable {
  /** Whose images are served, under their own names. Closed by its owner, after the server. */
  readonly store: Store;
  /** A numeric IP address to listen at. Default `127.0.0.1`. */
  readonly host?: string;
  /** Default 0: a free one. */
  readonly port?: number;
  /** Whether it takes pushes and deletions. Default false. */
  readonly writable?: boolean;
  /** Which pushed images need signatures. Default: none does. */
  readonly policy?: PolicyFile;
  /** How long a pushed tag may wait for its signatures, in milliseconds. Default: they come before the tag. */
  readonly signWithinMs?: number;
  /**
   * `HOST:PORT` by which clients call the server, and so the policy what is pushed. Default: images without a
   * registry in their name have `docker.io`.
   */
  readonly advertise?: string;
  /** Which user may do what. Default: every client that reaches the address may do everything. */
  readonly access?: Access;
  /** Speaks TLS with this certificate and key, in PEM. Default: plain HTTP. */
  readonly tls?: TlsIdentity;
  /** Bounds on clients; those that are not given have their defaults. */
  readonly limits?: Partial<ServeLimits>;
  /**
   * Where layers are fetched again that the store dropped once they were unpacked. Default: what
   * `openRegistry` opens.
   */
  readonly registry?: RegistryClient;
  /** Told once for each request, when its answer has ended or its client has gone. */
  readonly onRequest?: (request: ServedRequest) => void;
  /** Told what failed in the background and stops nothing, and what `onRequest` throws. */
  readonly onError?: (error: unknown) => void;
}

/** A registry that serves a store until it is closed. */
export interface ServedStore extends ListenAddress, AsyncDisposable {
  /**
   * Takes no more requests, gives the answers under way a moment to end, and cuts off the rest; when it
   * resolves, nothing uses the store any more. May be called twice.
   */
  close(): Promise<void>;
}

/**
 * Serves a store as a registry (distribution-spec): what is in it can be pulled from there, by anything that
 * pulls, and pushed to there if it is `writable`. An aborted `signal` closes it.
 *
 * @returns where it listens; to be closed: `await using served = await serveStore({ store })`
 * @throws `LandfallError` IN_USE (the port is taken), INVALID_CONFIG (the address is not this machine's, or
 *   the port needs a right that the process lacks), ABORTED
 */
export async function serveStore(options: ServeOptions): Promise<ServedStore> {
  const { store, host = '127.0.0.1', port = 0, writable = false, signal } = options;
  const onError = outOfTheWay(options.onError ?? ignore, ignore);
  throwIfAborted(signal);
  const registry = options.registry ?? openRegistry();
  const ended = new AbortController();
  const { access, tls, limits = {} } = options;
  const admission = writable ? admissionOf(options) : undefined;
  const target = writable ? new StoreTarget(store, admission) : undefined;
  const onRequest = outOfTheWay(options.onRequest ?? ignore, onError);
  const source = sourceOfStore(store, registry, { writable, admission, signal: ended.signal });
  const server = createRegistryServer({ source, target, access, tls, limits, onRequest });
  const stopExpiring = target?.expireUploads(onError);
  const end = async (): Promise<void> => {
    signal?.removeEventListener('abort', onAbort);
    stopExpiring?.();
    ended.abort();
    await server.close();
    if (options.registry === undefined) await registry.close();
  };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= end());
  const onAbort = (): void => void close().catch(onError);
  try {
    const address = await server.listen({ host, port });
    throwIfAborted(signal);
    signal?.addEventListener('abort', onAbort, { once: true });
    return { ...address, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A callback that throws is no fault of a request, which was answered, and must not end the program. */
function outOfTheWay<T>(
  callback: (reported: T) => void,
  onThrown: (error: unknown) => void,
): (reported: T) => void {
  return (reported) => {
    try {
      callback(reported);
    } catch (error) {
      onThrown(error);
    }
  };
}

function ignore(): void {
  // No callback was given.
}

function admissionOf({ store, policy, signWithinMs, advertise }: ServeOptions): PushAdmission | undefined {
  if (policy === undefined) return undefined;
  return new PushAdmission({
    store,
    policy,
    graceMs: signWithinMs,
    host: advertise,
    // The answer to the client says it, and `onRequest` gets its status.
    onWarning: ignore,
  });
}
