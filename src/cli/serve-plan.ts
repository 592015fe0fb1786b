import { LandfallError } from '../errors.js';
import type { ServeLimits } from '../serve/index.js';
import { parseDuration } from './parse-duration.js';
import { type ListenAt, parseListen } from './parse-listen.js';
import { type PullThroughFlags, type PullThroughPlan, pullThroughPlan } from './pull-through-plan.js';

export interface ServeFlags extends PullThroughFlags {
  /** `HOST:PORT`. */
  readonly listen?: string;
  readonly writable?: boolean;
  /** Paths of PEM files. */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** Path of a file of users. */
  readonly htpasswd?: string;
  readonly anonymousRead?: boolean;
  /** Bytes. */
  readonly maxUploadSize?: number;
  readonly maxRequests?: number;
  readonly maxConnections?: number;
  /** A duration. */
  readonly clientTimeout?: string;
  /** `HOST:PORT`. */
  readonly metrics?: string;
}

/** What the flags ask for, read before anything is opened. */
export interface ServePlan {
  readonly at: ListenAt;
  readonly writable: boolean;
  readonly limits: Partial<ServeLimits>;
  readonly metricsAt: ListenAt | undefined;
  /** Where what is not here is brought from; undefined where nothing is. */
  readonly pullThrough: PullThroughPlan | undefined;
}

export const DEFAULT_LISTEN = '127.0.0.1:5000';

/** @throws LandfallError INVALID_CONFIG */
export function servePlan(source: string | undefined, flags: ServeFlags): ServePlan {
  const { writable = false, metrics } = flags;
  if (writable && source !== undefined) {
    throw new LandfallError('INVALID_CONFIG', `${source} can only be read`, {
      hint: 'Leave it out to take pushes into the store, or leave --writable out.',
    });
  }
  refuseHalves(flags);
  return {
    at: parseListen(flags.listen ?? DEFAULT_LISTEN),
    writable,
    limits: limitsOf(flags),
    metricsAt: metrics === undefined ? undefined : parseListen(metrics),
    pullThrough: pullThroughPlan(source, flags),
  };
}

function refuseHalves({ tlsCert, tlsKey, htpasswd, anonymousRead }: ServeFlags): void {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new LandfallError('INVALID_CONFIG', '--tls-cert and --tls-key go together', {
      hint: 'Give the certificate and its key, or neither.',
    });
  }
  if (anonymousRead === true && htpasswd === undefined) {
    throw new LandfallError('INVALID_CONFIG', '--anonymous-read needs --htpasswd', {
      hint: 'Without passwords everybody may read as it is.',
    });
  }
}

function limitsOf(flags: ServeFlags): Partial<ServeLimits> {
  const { maxUploadSize, maxRequests, maxConnections, clientTimeout } = flags;
  const stallMs = clientTimeout === undefined ? undefined : parseDuration('--client-timeout', clientTimeout);
  if (stallMs !== undefined && stallMs < 1000) {
    throw new LandfallError('INVALID_CONFIG', '--client-timeout is shorter than a second', {
      hint: 'A client may have to wait for its own network for that long.',
    });
  }
  return {
    ...(maxUploadSize === undefined ? {} : { uploadBytes: maxUploadSize }),
    ...(maxRequests === undefined ? {} : { requests: maxRequests }),
    ...(maxConnections === undefined ? {} : { connections: maxConnections }),
    ...(stallMs === undefined ? {} : { stallMs, headMs: Math.min(stallMs, 15_000) }),
  };
}
