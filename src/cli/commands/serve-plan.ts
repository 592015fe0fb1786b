import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { isLandfallError, LandfallError } from '../../errors.js';
import { defaultHost, isLoopback } from '../../registry/index.js';
import { DEFAULT_PULL_THROUGH_TTL_MS, type ServeLimits } from '../../serve/index.js';
import { parseReference } from '../../spec/index.js';
import { invalidConfig } from '../config/settings.js';
import { type ListenAt, parseListen } from '../options/options.js';
import { parseDuration } from '../options/parse-duration.js';
import { answer, type CommandContext } from '../output/command-context.js';
import type { ExitCode } from '../output/exit-codes.js';

export interface ServeFlags extends PullThroughFlags {
  /** `HOST:PORT`. */
  readonly listen?: string;
  /** A duration. */
  readonly signWithin?: string;
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

/** The flags, read before anything is opened. */
export interface ServePlan {
  readonly at: ListenAt;
  readonly writable: boolean;
  /** How long a tag may point to an image without its signatures; undefined: not at all. */
  readonly signWithinMs: number | undefined;
  /** `HOST:PORT`, as clients call the server. */
  readonly advertisedHost: string | undefined;
  readonly limits: Partial<ServeLimits>;
  readonly metricsAt: ListenAt | undefined;
  /** Where what is not here is brought from; undefined where nothing is. */
  readonly pullThrough: PullThroughPlan | undefined;
}

export const DEFAULT_LISTEN = '127.0.0.1:5000';

/** @throws LandfallError INVALID_CONFIG */
export function servePlan(source: string | undefined, flags: ServeFlags): ServePlan {
  const { writable = false, signWithin, metrics } = flags;
  if (writable && source !== undefined) {
    throw invalidConfig(`${source} can only be read`, {
      hint: 'Leave it out to take pushes into the store, or leave --writable out.',
    });
  }
  if (signWithin !== undefined && !writable) {
    throw invalidConfig('--sign-within needs --writable', {
      hint: 'It says how long an image that was pushed may lack its signatures.',
    });
  }
  refuseHalves(flags);
  return {
    at: parseListen(flags.listen ?? DEFAULT_LISTEN),
    writable,
    signWithinMs: signWithin === undefined ? undefined : parseDuration('--sign-within', signWithin),
    advertisedHost: advertisedHost(flags),
    limits: limitsOf(flags),
    metricsAt: metrics === undefined ? undefined : parseListen(metrics),
    pullThrough: pullThroughPlan(source, flags),
  };
}

function advertisedHost({ advertise, listen, tlsCert }: ServeFlags): string | undefined {
  if (advertise === undefined) return undefined;
  const at = parseListen(listen ?? DEFAULT_LISTEN);
  return new URL(mirrorUrl(advertise, { at, secure: tlsCert !== undefined })).host;
}

function refuseHalves({ tlsCert, tlsKey, htpasswd, anonymousRead }: ServeFlags): void {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw invalidConfig('--tls-cert and --tls-key go together', {
      hint: 'Give the certificate and its key, or neither.',
    });
  }
  if (anonymousRead === true && htpasswd === undefined) {
    throw invalidConfig('--anonymous-read needs --htpasswd', {
      hint: 'Without passwords every client may read.',
    });
  }
}

function limitsOf(flags: ServeFlags): Partial<ServeLimits> {
  const { maxUploadSize, maxRequests, maxConnections, clientTimeout } = flags;
  const stallMs = clientTimeout === undefined ? undefined : parseDuration('--client-timeout', clientTimeout);
  if (stallMs !== undefined && stallMs < 1000) {
    throw invalidConfig('--client-timeout is shorter than a second', {
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

export interface PullThroughFlags {
  readonly pullThrough?: boolean;
  /** Names of registries. */
  readonly upstream?: readonly string[];
  /** A duration. */
  readonly pullThroughTtl?: string;
  readonly printHosts?: boolean;
  /** `HOST:PORT`, or a URL of a host. */
  readonly advertise?: string;
  readonly writable?: boolean;
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
    throw invalidConfig(`${source} can only be read`, {
      hint: 'Leave it out to fill the store, or leave --pull-through out.',
    });
  }
  if (!pullThrough && pullThroughTtl !== undefined)
    throw invalidConfig('--pull-through-ttl needs --pull-through');
  if (!pullThrough && !printHosts && flags.upstream !== undefined) {
    throw invalidConfig('--upstream needs --pull-through', {
      hint: 'Without it, only content of the store is served.',
    });
  }
  if (!printHosts && flags.writable !== true && flags.advertise !== undefined)
    throw invalidConfig('--advertise needs --print-hosts or --writable');
  const upstreams = upstreamsOf(flags);
  if (!pullThrough) return undefined;
  const ttlMs =
    pullThroughTtl === undefined
      ? DEFAULT_PULL_THROUGH_TTL_MS
      : parseDuration('--pull-through-ttl', pullThroughTtl);
  return { upstreams, ttlMs };
}

/** The registries that a server is a mirror of. @throws LandfallError INVALID_CONFIG */
function upstreamsOf({ upstream = [DEFAULT_UPSTREAM] }: PullThroughFlags): readonly string[] {
  return [...new Set(upstream.map(parseUpstream))];
}

/**
 * Reads the name of a registry as image names have it: `docker.io`, `reg.lan:5000`.
 *
 * @throws {LandfallError} INVALID_CONFIG
 */
export function parseUpstream(text: string): string {
  // Anything else would be read as the first part of a name at Docker Hub.
  if (/^[^/@]*[.:][^/@]*$|^localhost$/.test(text)) {
    try {
      const { registry, tag, repository } = parseReference(`${text}/any`);
      if (tag === undefined && repository.endsWith('any')) return registry;
    } catch (error) {
      if (!isLandfallError(error)) throw error;
    }
  }
  throw invalidConfig(`--upstream: ${JSON.stringify(text.replace(/^.*@/s, '***@'))} is not a registry`, {
    hint: 'Write HOST or HOST:PORT, as image names begin: docker.io, quay.io, registry.lan:5000.',
  });
}

export interface MirrorHostsOptions {
  /** The registries that it is a mirror of. */
  readonly upstreams: readonly string[];
  /** Where nodes reach the mirror: {@link mirrorUrl}. */
  readonly url: string;
  /** Path of a PEM file, as nodes have it, by which they know the mirror. */
  readonly ca: string | undefined;
  /** Nodes take any certificate of the mirror. */
  readonly skipVerify: boolean;
  /** The upstreams speak no TLS. */
  readonly plainHttp: boolean;
}

/** A file below a directory of hosts. */
export interface MirrorHostsFile {
  /** Relative to the directory: `docker.io/hosts.toml`. */
  readonly path: string;
  readonly content: string;
}

/** The files that have containerd and landfall ask a mirror before each of its upstreams: docs/hosts.md. */
export function mirrorHosts(options: MirrorHostsOptions): readonly MirrorHostsFile[] {
  return options.upstreams.map((upstream) => ({
    path: `${upstream}/hosts.toml`,
    content: hostsFile(upstream, options),
  }));
}

/**
 * The URL of a mirror: as it is given, or else where it listens. One that listens at all addresses is named
 * by this machine's name.
 *
 * @throws {LandfallError} INVALID_CONFIG for what is no URL of a host
 */
export function mirrorUrl(
  given: string | undefined,
  { at, secure }: { readonly at: ListenAt; readonly secure: boolean },
): string {
  if (given === undefined) {
    const { host, port } = at;
    const name = host === '0.0.0.0' || host === '::' ? hostname() : host.includes(':') ? `[${host}]` : host;
    return `${secure ? 'https' : 'http'}://${name}:${port}`;
  }
  const text = given.includes('://') ? given : `${secure ? 'https' : 'http'}://${given}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHost = url?.pathname === '/' && url.search === '' && url.username === '';
  if (!isHost || !/^https?:$/.test(url.protocol)) {
    throw new LandfallError(
      'INVALID_CONFIG',
      `--advertise: ${JSON.stringify(given)} is not where nodes reach a mirror`,
      {
        hint: 'Write HOST:PORT, or https://HOST:PORT.',
      },
    );
  }
  return url.origin;
}

function hostsFile(upstream: string, { url, ca, skipVerify, plainHttp }: MirrorHostsOptions): string {
  const { hostname: host, port } = defaultHost(upstream).base;
  const scheme = plainHttp || isLoopback(upstream) ? 'http' : 'https';
  const server = `${scheme}://${host}${port === '' ? '' : `:${port}`}`;
  const lines = [
    `server = ${tomlString(server)}`,
    '',
    `[host.${tomlString(url)}]`,
    '  capabilities = ["pull", "resolve"]',
    ...(url.startsWith('https:') && ca !== undefined ? [`  ca = ${tomlString(ca)}`] : []),
    ...(url.startsWith('https:') && skipVerify ? ['  skip_verify = true'] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** A basic string of TOML, which JSON's form is one of. */
function tomlString(text: string): string {
  return JSON.stringify(text);
}

/**
 * Prints the files by which nodes use this server as a mirror. `--ca` and `--insecure` say how they are to
 * know it.
 *
 * @throws LandfallError INVALID_CONFIG
 */
export function printHosts(
  flags: PullThroughFlags,
  { plan, secure }: { readonly plan: Pick<ServePlan, 'at'>; readonly secure: boolean },
  context: CommandContext,
): ExitCode {
  const { ca, insecure, plainHttp } = context.settings;
  const url = mirrorUrl(flags.advertise, { at: plan.at, secure });
  const files = mirrorHosts({
    upstreams: upstreamsOf(flags),
    url,
    ca: ca === undefined ? undefined : resolve(ca),
    skipVerify: insecure,
    plainHttp,
  });
  answer(context, { url, files }, () =>
    files.map(({ path, content }) => `# /etc/containerd/certs.d/${path}\n${content}`).join('\n'),
  );
  return 0;
}
