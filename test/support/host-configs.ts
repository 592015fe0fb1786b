import {
  ALL_CAPABILITIES,
  type HostConfig,
  type HostsProvider,
} from '../../src/registry/hosts/host-config.js';

/**
 * An address at which nothing listens: a port that the kernel gives to no server that asks for a free one.
 */
export const DEAD_ADDRESS = '127.0.0.1:1';

/** A mirror at an address that speaks no TLS: `127.0.0.1:PORT`. */
export function mirrorAt(address: string, config: Partial<HostConfig> = {}): HostConfig {
  return {
    base: new URL(`http://${address}/v2`),
    role: 'mirror',
    capabilities: ALL_CAPABILITIES,
    connection: {},
    headers: {},
    credentials: 'own',
    rewrite: [],
    why: 'a mirror of this test',
    ...config,
  };
}

/** The registry itself, wherever its name would lead. */
export function upstreamAt(address: string, config: Partial<HostConfig> = {}): HostConfig {
  return mirrorAt(address, { role: 'upstream', why: 'the registry itself', ...config });
}

/** The same hosts for every registry. */
export function hosts(...configs: readonly HostConfig[]): HostsProvider {
  return () => Promise.resolve(configs);
}
