import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { KnownHosts } from '../../../src/registry/registry-client.js';
import { parseReference } from '../../../src/spec/index.js';
import { hosts, mirrorAt, upstreamAt } from '../../support/host-configs.js';
import { blobOf, fastClient, patterned } from '../../support/registry-fixture.js';
import { ScriptedRegistry } from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';

const REFERENCE = parseReference('registry.example/team/app:1');
const bytes = patterned(3_000_000);
const blob = blobOf(bytes);
const BLOB = `/v2/team/app/blobs/${blob.digest}`;
const others = (name: string): (() => Promise<{ username: string; password: string }>) => {
  const credentials = { username: name, password: secret(`shared-password-of-${name}`) };
  return () => Promise.resolve(credentials);
};

describe('clients that differ in their credentials', () => {
  it('leave a mirror alone that has failed for one of them', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `GET ${BLOB}?ns=registry.example`, dropAfter: -1, times: 'any' },
    ]);
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes, times: 'any' }]);
    const configs = hosts(mirrorAt(mirror.address), upstreamAt(upstream.address));
    await using client = fastClient({ hosts: configs, failover: { pauseMs: 60_000 } });
    for (const one of [client, client.withCredentials(others('one')), client.withCredentials(others('two'))])
      await buffer(await one.repository(REFERENCE).fetch(blob));
    expect(mirror.requests).toHaveLength(1);
  });

  it('are bound together by what a host may be asked at once', async () => {
    await using upstream = await ScriptedRegistry.start([{ on: `GET ${BLOB}`, body: bytes, times: 'any' }]);
    const configs = hosts(upstreamAt(upstream.address, { maxConnections: 1 }));
    await using client = fastClient({ hosts: configs });
    const first = await client.withCredentials(others('one')).repository(REFERENCE).fetch(blob);
    const second = client.withCredentials(others('two')).repository(REFERENCE).fetch(blob);
    await sleep(100);
    expect(upstream.requests).toHaveLength(1);
    await buffer(first);
    await buffer(await second);
    expect(upstream.requests).toHaveLength(2);
  });

  it('know one address of a registry for which nothing is configured', () => {
    const known = new KnownHosts();
    const [config] = known.default('quay.io');
    expect(known.default('quay.io')).toEqual([config]);
    expect(known.default('quay.io')[0]).toBe(config);
  });
});
