import { type Digest, digestOf, MEDIA_TYPES } from '../../src/spec/index.js';

/** How a server treats the header Range; without it, the body is sent as it is, whatever was asked for. */
export type RangeManners =
  /** 206 with the bytes that were asked for; 416 where there are none. */
  | true
  /** 200 with all of the body. */
  | 'ignored'
  /** 206 with a range that is another byte longer or shorter at its start, and says so. */
  | 'wrong'
  /** 206 with the first half of what was asked for, and says so. */
  | 'short';

/** What the server does with one request. */
export interface Reply {
  /** Default 200. */
  status?: number;
  headers?: Record<string, string | string[]>;
  /** `Content-Length` is set from it unless `headers` do or `chunked` is set. */
  body?: string | Uint8Array;
  /** Sends the body in chunks, without a length. */
  chunked?: boolean;
  ranges?: RangeManners;
  /** Waits before the headers. */
  delayMs?: number;
  /** Waits for it before the headers. */
  after?: Promise<unknown>;
  /** Sends the body no faster, on each connection. */
  bytesPerSecond?: number;
  /** How often a piece is sent of what goes no faster than that. Default 50. */
  paceMs?: number;
  /** Flips the bits of the byte at this offset of the body, where it is sent. */
  corrupt?: number;
  /** Closes the connection after so many bytes of the body; -1: instead of any answer. */
  dropAfter?: number;
  /** Closes each connection once it has carried so many bytes of bodies. */
  cutEvery?: number;
  /**
   * Sends so many bytes of the body and then nothing more, the connection left open; -1: no headers either.
   */
  stallAfter?: number;
}

/** The reply that a registry gives for a manifest, to HEAD and GET alike. */
export function manifestReply(
  body: string | Uint8Array,
  mediaType: string = MEDIA_TYPES.ociManifest,
  digest: Digest = digestOf(Buffer.from(body)),
): Reply {
  return { body, headers: { 'content-type': mediaType, 'docker-content-digest': digest } };
}

/** The reply that a registry gives to refuse something (distribution-spec: Error Codes). */
export function errorReply(
  status: number,
  code: string,
  message = 'no',
  headers: Record<string, string> = {},
): Reply {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ errors: [{ code, message }] }),
  };
}

/** The reply of a registry that keeps its blobs elsewhere. */
export function redirectReply(location: string | URL, status = 307): Reply {
  return { status, headers: { location: location.toString() } };
}
