import type { IncomingMessage } from 'node:http';

import { isVerifiable, isDigest, type Digest } from '../../spec/index.js';
import { type Answer, emptyAnswer } from '../answer.js';
import { RegistryFault } from '../registry-fault.js';
import type { RepositoryPath } from '../route.js';
import type { ServeTarget } from './serve-target.js';

/** A request that changes something, and what it is held to. */
export interface PushRequest {
  readonly target: ServeTarget;
  readonly request: IncomingMessage;
  /** Of one blob, in bytes; Infinity for no limit. */
  readonly mostUploadBytes: number;
  /** Runs what holds a whole manifest in memory, when it is its turn. */
  readonly inTurn: <T>(action: () => Promise<T>) => Promise<T>;
}

/** Where a client finds something of a repository, by the path it knows that by: relative, so that it holds behind a proxy. */
export function locationOf({ path, ns }: RepositoryPath, rest: string): string {
  const query = ns === undefined ? '' : `?${new URLSearchParams({ ns }).toString()}`;
  return `/v2/${path}/${rest}${query}`;
}

/** 201, with the place of a blob that a repository has now. */
export function blobCreated(route: RepositoryPath, digest: Digest): Answer {
  return emptyAnswer(201, {
    Location: locationOf(route, `blobs/${digest}`),
    'Docker-Content-Digest': digest,
  });
}

/**
 * A digest of a query that what is pushed will be held against.
 *
 * @throws {RegistryFault} 400 DIGEST_INVALID: malformed, or of an algorithm that cannot be computed here
 */
export function verifiableDigest(text: string): Digest {
  if (!isDigest(text)) throw new RegistryFault(400, 'DIGEST_INVALID', 'the digest is malformed');
  if (isVerifiable(text)) return text;
  throw new RegistryFault(400, 'DIGEST_INVALID', 'only sha256 and sha512 digests can be pushed here');
}
