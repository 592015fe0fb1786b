import { SpecError } from '../../errors.js';
import { quoted } from '../../spec/index.js';
import type { Credentials, CredentialsProvider } from '../auth/credentials.js';
import type { ConnectionOptions } from '../http/http.js';

/** What a host may be asked for: content by its digest, the digest of a tag, taking content. */
export type HostCapability = 'pull' | 'resolve' | 'push';

export const ALL_CAPABILITIES: ReadonlySet<HostCapability> = new Set(['pull', 'resolve', 'push']);

/**
 * `pattern` is global, so `String.replace` changes all that it matches; `replacement` is as that takes it.
 */
export interface RewriteRule {
  /** Of a repository. */
  readonly pattern: RegExp;
  /** What what it matches becomes. */
  readonly replacement: string;
}

/** One host at which content of a registry is had. */
export interface HostConfig {
  /**
   * Root of the API, no slash at the end: `https://mirror.lan/v2`, or with override_path
   * `https://mirror.lan/api/hub`. Where that leaves no path at all, the URL has its `/` all the same.
   */
  readonly base: URL;
  /** Upstream is what lies at the registry's own address, wherever the configuration names it. */
  readonly role: 'mirror' | 'upstream';
  /** What it is asked for. */
  readonly capabilities: ReadonlySet<HostCapability>;
  /** How connections to it are made. */
  readonly connection: ConnectionOptions;
  /** Names in lower case; several values joined by `, `. They may hold secrets. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * `own`: what is stored for this host's own address; `upstream`: what is stored for the registry; `none`;
   * or these. The provider has them from a file of this host's own, and needs no registry's name.
   */
  readonly credentials: 'own' | 'upstream' | 'none' | Credentials | CredentialsProvider;
  /** How a repository is named at this host: the first rule that matches, as k3s has it. */
  readonly rewrite: readonly RewriteRule[];
  /** Connections that are open at once. Default: as many as the client allows. */
  readonly maxConnections?: number | undefined;
  /** Most requests a second. Default: no bound. */
  readonly requestsPerSecond?: number | undefined;
  /** `base` is https, but it may turn out to speak no TLS; then it is spoken to by http. */
  readonly mayBePlain?: boolean | undefined;
  /**
   * Why it is here and at this place: `mirror 1 in /etc/containerd/certs.d/docker.io/hosts.toml`, `the
   * registry itself`.
   */
  readonly why: string;
}

/**
 * The hosts of a registry, named as references name it, in the order in which they are asked. While nothing
 * changed they are the same objects as last time: connections and what is known of a host's health hang on
 * their identity.
 */
export type HostsProvider = (registry: string) => Promise<readonly HostConfig[]>;

/**
 * The one host where nothing is configured: the registry itself.
 *
 * @throws {SpecError} INVALID_REFERENCE: a port beyond 65535, or an address like 1.2.3.999
 */
export function defaultHost(registry: string): HostConfig {
  const address = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  const text = `https://${address}`;
  if (/^[._-]|[\s/\\?#@]/.test(address) || !URL.canParse(text)) {
    throw new SpecError('INVALID_REFERENCE', `${quoted(address)} is not the address of a registry`, {
      hint: 'Check the host and the port.',
    });
  }
  return {
    base: new URL(`${text}/v2`),
    role: 'upstream',
    capabilities: ALL_CAPABILITIES,
    connection: {},
    headers: {},
    credentials: 'own',
    rewrite: [],
    mayBePlain: isLoopback(address) || undefined,
    why: 'the registry itself',
  };
}

/** Whether a host lies at the registry's own address; Docker Hub has two. */
export function isAtRegistry(registry: string, { protocol, host }: URL): boolean {
  if (registry === 'docker.io' && host === 'index.docker.io') return true;
  const { hostname, port } = defaultHost(registry).base;
  const own = new URL(`${protocol}//${hostname}`);
  own.port = port;
  return own.host === host;
}

/** Whether an address, with its port or without, is this machine's own. */
export function isLoopback(address: string): boolean {
  const host = address.replace(/:\d+$/, '').toLowerCase();
  return host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host);
}
