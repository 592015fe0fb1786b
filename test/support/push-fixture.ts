import { Readable } from 'node:stream';

import type { CredentialsProvider } from '../../src/registry/index.js';
import { MirrorList } from '../../src/registry/hosts/mirror-list.js';
import { HostHealths } from '../../src/registry/hosts/host-health.js';
import type { HostsProvider } from '../../src/registry/hosts/host-config.js';
import { type Pusher, pushContent } from '../../src/registry/push/pusher.js';
import { RegistryHosts } from '../../src/registry/registry-client.js';
import { Transport } from '../../src/registry/http/transport.js';

export interface PushFixtureOptions {
  repository?: string;
  credentials?: CredentialsProvider;
  hosts?: HostsProvider;
  /** Tries of one thing. Default 3. */
  attempts?: number;
  ca?: string;
}

export interface PushFixture extends AsyncDisposable {
  readonly mirrors: MirrorList;
  readonly pusher: Pusher;
}

/** What pushes to a registry, with pauses of milliseconds where real ones last seconds. */
export function pushFixture(registry: string, options: PushFixtureOptions = {}): PushFixture {
  const { repository = 'team/app', credentials, hosts: provider, attempts = 3, ca } = options;
  const transport = new Transport({
    timeouts: { connectMs: 20_000, headersMs: 20_000, bodyMs: 20_000 },
    ...(ca === undefined ? {} : { ca }),
  });
  const hosts = new RegistryHosts({
    transport,
    hosts: provider,
    credentials,
    userAgent: 'landfall-test',
    plainHttp: false,
    onWarning: undefined,
  });
  const failover = { pauseMs: 1 };
  const mirrors = new MirrorList({
    registry,
    hosts: () => hosts.of(registry),
    healths: new HostHealths(failover),
    retry: { attempts, baseMs: 1 },
    failover,
  });
  return {
    mirrors,
    pusher: { push: (...content) => pushContent(mirrors, repository, ...content) },
    [Symbol.asyncDispose]: () => transport.close(),
  };
}

/** A source over bytes at hand, in pieces as a file would give them; `offsets` are those it was opened at. */
export function sourceOf(bytes: Buffer): {
  open: (offset?: number) => Promise<Readable>;
  offsets: number[];
} {
  const offsets: number[] = [];
  const open = (offset = 0): Promise<Readable> => {
    offsets.push(offset);
    return Promise.resolve(Readable.from(pieces(bytes.subarray(offset)), { objectMode: false }));
  };
  return { open, offsets };
}

function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 64 * 1024) yield bytes.subarray(at, at + 64 * 1024);
}
