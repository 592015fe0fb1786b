import { readdir } from 'node:fs/promises';

import { ResultCache } from '../../concurrency/index.js';
import { LandfallError, systemCode } from '../../errors.js';
import type { ConnectionOptions } from '../http/http.js';
import { dockerCerts, FileTrace, readCertificates } from './hosts-directory.js';
import { defaultHost, type HostConfig, type HostsProvider } from './host-config.js';

/**
 * How a registry itself is spoken to, where options say so besides its configuration. Paths are absolute.
 */
export interface ConnectedHostsOptions {
  /** PEM files of authorities that are trusted too. */
  readonly ca?: readonly string[];
  /** Shown to a registry that asks for it. */
  readonly clientCert?: { readonly cert: string; readonly key: string } | undefined;
  /** `*.crt`, `*.cert` and `*.key` as docker has them in a registry's directory. */
  readonly certDirectory?: string | undefined;
  /** Takes any certificate. */
  readonly insecure?: boolean | undefined;
  /** It may turn out to speak no TLS. */
  readonly mayBePlain?: boolean | undefined;
  readonly maxConnections?: number | undefined;
  readonly requestsPerSecond?: number | undefined;
}

/**
 * The hosts that a provider gives, the registry itself connected to in another way; its mirrors stay as they
 * are. Certificates are read once.
 *
 * Errors of the provider: also INVALID_CONFIG for files that cannot be read or used
 */
export function connectedHosts(
  hosts: HostsProvider | undefined,
  options: ConnectedHostsOptions,
): HostsProvider {
  // Connections and what is known of a host's health hang on its identity.
  const changed = new WeakMap<HostConfig, HostConfig>();
  const defaults = new Map<string, readonly HostConfig[]>();
  const certificates = new ResultCache<'connection', ConnectionOptions>();
  return async (registry) => {
    const given = (await hosts?.(registry)) ?? [];
    const configs = given.length > 0 ? given : (defaults.get(registry) ?? [defaultHost(registry)]);
    if (given.length === 0) defaults.set(registry, configs);
    const connection = await certificates.get('connection', () => readConnection(options));
    return configs.map((config) => {
      if (config.role !== 'upstream') return config;
      const known = changed.get(config) ?? withConnection(config, connection, options);
      changed.set(config, known);
      return known;
    });
  };
}

function withConnection(
  config: HostConfig,
  { ca = [], ...connection }: ConnectionOptions,
  { insecure, mayBePlain, maxConnections, requestsPerSecond }: ConnectedHostsOptions,
): HostConfig {
  const authorities = [...(config.connection.ca ?? []), ...ca];
  return {
    ...config,
    connection: {
      ...config.connection,
      ...connection,
      ...(authorities.length === 0 ? {} : { ca: authorities }),
      insecure: insecure ?? config.connection.insecure,
    },
    mayBePlain: mayBePlain ?? config.mayBePlain,
    maxConnections: maxConnections ?? config.maxConnections,
    requestsPerSecond: requestsPerSecond ?? config.requestsPerSecond,
  };
}

async function readConnection(options: ConnectedHostsOptions): Promise<ConnectionOptions> {
  const { ca = [], clientCert, certDirectory } = options;
  const found =
    certDirectory === undefined
      ? { ca: [], client: [] }
      : dockerCerts(certDirectory, await namesIn(certDirectory));
  const paths = {
    ca: [...found.ca, ...ca],
    client: [...found.client, ...(clientCert === undefined ? [] : [clientCert])],
  };
  return await readCertificates(paths, new FileTrace(), (_key, path, what, cause) =>
    unusable(path, what, cause),
  );
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    throw unusable(directory, `cannot be read (${systemCode(cause) ?? 'unknown error'})`, cause);
  }
}

function unusable(path: string, what: string, cause: unknown): LandfallError {
  return new LandfallError('INVALID_CONFIG', `${path} ${what}`, {
    cause,
    hint: 'Name files in PEM that can be read.',
    details: { path },
  });
}
