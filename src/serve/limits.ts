/** What a registry server holds its clients to. */
export interface ServeLimits {
  /** Connections that are open at once; further ones are closed at once. */
  readonly connections: number;
  /** Requests that are answered at once; further ones get a 429, and are told to come again. */
  readonly requests: number;
  /** One pushed blob, in bytes. */
  readonly uploadBytes: number;
  /** A client has so long for the head of a request, in ms. */
  readonly headMs: number;
  /** A connection on which nobody asks for anything is closed after so long, in ms. */
  readonly idleMs: number;
  /** Over this time a client that is waited for has to move {@link leastBytesPerSecond} on average, in ms. */
  readonly stallMs: number;
  /** Bytes a second. Far below any line that an image could be pulled over. */
  readonly leastBytesPerSecond: number;
}

const GIB = 1024 ** 3;

export const DEFAULT_SERVE_LIMITS: ServeLimits = {
  connections: 4096,
  requests: 2048,
  uploadBytes: 512 * GIB,
  headMs: 15_000,
  idleMs: 65_000,
  stallMs: 60_000,
  leastBytesPerSecond: 256,
};

/** Manifests that are held whole at once while they are pushed: 4 MiB each at most. */
export const MANIFESTS_AT_ONCE = 16;

/** So long one of them may take to come, in ms: who sends slowly must not keep the others waiting. */
export const MANIFEST_MS = 60_000;
