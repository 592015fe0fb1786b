import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { LandfallError } from '../../errors.js';
import { defaultHost, isLoopback } from '../../registry/index.js';
import { answer, type CommandContext } from '../output/command-context.js';
import type { ExitCode } from '../output/exit-codes.js';
import type { ListenAt } from '../options/options.js';
import { type PullThroughFlags, type ServePlan, upstreamsOf } from './serve-plan.js';

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
 * The URL of a mirror: as it is given, or else where it listens. One that listens at all addresses is named by this
 * machine's name.
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
 * Prints the files by which nodes use this server as a mirror. `--ca` and `--insecure` say how they are to know it.
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
