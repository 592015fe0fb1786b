import { MirrorList } from '../../../src/registry/hosts/mirror-list.js';
import { ALL_CAPABILITIES, type HostConfig } from '../../../src/registry/hosts/host-config.js';
import { HostHealths } from '../../../src/registry/hosts/host-health.js';
import { RegistryHosts } from '../../../src/registry/registry-client.js';
import { Transport } from '../../../src/registry/http/transport.js';

export const REGISTRY = 'registry.example';

export interface ListedMirrors extends AsyncDisposable {
  readonly mirrors: MirrorList;
  readonly repository: string;
}

/**
 * A mirrors over plain HTTP to the registry at the last of these addresses and mirrors of it at the others,
 * with pauses of milliseconds.
 */
export function listedMirrors(...addresses: string[]): ListedMirrors {
  const transport = new Transport();
  const configs = addresses.map((address, at): HostConfig => {
    const role = at === addresses.length - 1 ? 'upstream' : 'mirror';
    return {
      base: new URL(`http://${address}/v2`),
      role,
      capabilities: ALL_CAPABILITIES,
      connection: {},
      headers: {},
      credentials: 'none',
      rewrite: [],
      why: role,
    };
  });
  const hosts = new RegistryHosts({
    transport,
    hosts: () => Promise.resolve(configs),
    credentials: undefined,
    userAgent: 'landfall',
    plainHttp: false,
    onWarning: undefined,
  });
  const mirrors = new MirrorList({
    registry: REGISTRY,
    hosts: () => hosts.of(REGISTRY),
    healths: new HostHealths(),
    retry: { attempts: 3, baseMs: 1 },
    failover: undefined,
  });
  return { mirrors, repository: 'team/app', [Symbol.asyncDispose]: () => transport.close() };
}

/** All that a list yields, or at most so many items. */
export async function collect<T>(
  list: AsyncIterable<T>,
  most: number = Number.POSITIVE_INFINITY,
): Promise<T[]> {
  const items: T[] = [];
  for await (const item of list) {
    items.push(item);
    if (items.length === most) break;
  }
  return items;
}
