import { LandfallError } from '../errors.js';
import { DEFAULT_PULL_THROUGH_TTL_MS } from '../serve/pull-through/pull-through-ttl.js';
import { parseDuration } from './parse-duration.js';
import { parseUpstream } from './parse-upstream.js';

export interface PullThroughFlags {
  readonly pullThrough?: boolean;
  /** Names of registries. */
  readonly upstream?: readonly string[];
  /** A duration. */
  readonly pullThroughTtl?: string;
  readonly printHosts?: boolean;
  /** `HOST:PORT`, or a URL of a host. */
  readonly advertise?: string;
}

/** Where a mirror is filled from. */
export interface PullThroughPlan {
  readonly upstreams: readonly string[];
  readonly ttlMs: number;
}

const DEFAULT_UPSTREAM = 'docker.io';

/**
 * Undefined where nothing is to be brought.
 *
 * @throws LandfallError INVALID_CONFIG
 */
export function pullThroughPlan(
  source: string | undefined,
  flags: PullThroughFlags,
): PullThroughPlan | undefined {
  const { pullThrough = false, pullThroughTtl, printHosts = false } = flags;
  if (pullThrough && source !== undefined) {
    throw new LandfallError('INVALID_CONFIG', `${source} can only be read`, {
      hint: 'Leave it out to fill the store, or leave --pull-through out.',
    });
  }
  if (!pullThrough && pullThroughTtl !== undefined) {
    throw new LandfallError('INVALID_CONFIG', '--pull-through-ttl needs --pull-through');
  }
  if (!pullThrough && !printHosts && flags.upstream !== undefined) {
    throw new LandfallError('INVALID_CONFIG', '--upstream needs --pull-through', {
      hint: 'Without it, only what is here is served.',
    });
  }
  if (!printHosts && flags.advertise !== undefined) {
    throw new LandfallError('INVALID_CONFIG', '--advertise needs --print-hosts');
  }
  const upstreams = upstreamsOf(flags);
  if (!pullThrough) return undefined;
  const ttlMs =
    pullThroughTtl === undefined
      ? DEFAULT_PULL_THROUGH_TTL_MS
      : parseDuration('--pull-through-ttl', pullThroughTtl);
  return { upstreams, ttlMs };
}

/** The registries that a server is a mirror of. @throws LandfallError INVALID_CONFIG */
export function upstreamsOf({ upstream = [DEFAULT_UPSTREAM] }: PullThroughFlags): readonly string[] {
  return [...new Set(upstream.map(parseUpstream))];
}
