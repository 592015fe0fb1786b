import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { hostsFromDirectories } from '../../../src/registry/hosts/hosts-directory.js';
import type { HostsProvider } from '../../../src/registry/index.js';
import { parseReference } from '../../../src/spec/index.js';
import { blobOf, fastClient, patterned } from '../../support/registry-fixture.js';
import { manifestReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';

const bytes = patterned(300_000);
const blob = blobOf(bytes);
const REFERENCE = parseReference('registry.example/team/app:1');
const HEAD: Step = {
  on: 'HEAD /v2/team/app/manifests/1?ns=registry.example',
  times: 'any',
  ...manifestReply('{}'),
};
const GET = `GET /v2/team/app/blobs/${blob.digest}?ns=registry.example`;

let top = '';
let now = 0;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'replaced-hosts-'));
  now = 0;
});
afterEach(async () => {
  await rm(top, { recursive: true });
});

let edits = 0;
/** As an operator edits it: what it says may be the same, and it is another file all the same. */
async function edit(registry: ScriptedRegistry, path = 'registry.example'): Promise<void> {
  edits += 1;
  now += 10_000;
  await mkdir(join(top, path), { recursive: true });
  await writeFile(
    join(top, path, 'hosts.toml'),
    `# edit ${'.'.repeat(edits)}\nserver = "${registry.origin}"\n[host."${registry.origin}"]\n`,
  );
}
const provider = (): HostsProvider => hostsFromDirectories([top], { now: () => now });

describe('connections to hosts whose configuration is replaced', () => {
  it('are closed, however often that is', async () => {
    await using registry = await ScriptedRegistry.start([HEAD]);
    await using client = fastClient({ hosts: provider() });
    for (let n = 1; n <= 5; n += 1) {
      await edit(registry);
      await client.resolver().resolve(REFERENCE);
      // Those of the edits before; the last ones are kept.
      await vi.waitFor(() => expect(registry.open).toBe(1), { timeout: 30_000 });
      expect(registry.connections).toBe(n);
    }
    await client.resolver().resolve(REFERENCE);
    expect(registry.connections).toBe(5);
  });

  it('end after what is under way over them', async () => {
    let go: () => void = () => undefined;
    const after = new Promise<void>((resolve) => (go = resolve));
    await using registry = await ScriptedRegistry.start([
      HEAD,
      { on: GET, body: bytes, times: 1 },
      { on: GET, body: bytes, after },
    ]);
    await using client = fastClient({ hosts: provider() });
    await edit(registry);
    // One body is being read, and the other is waited for, when the file is edited.
    const reading = await client.repository(REFERENCE).fetch(blob);
    const waiting = client.repository(REFERENCE).fetch(blob);
    await vi.waitFor(() => expect(registry.requests).toHaveLength(2), { timeout: 30_000 });
    await edit(registry);
    await client.resolver().resolve(REFERENCE);
    expect(registry.open).toBe(3);
    go();
    expect((await buffer(await waiting)).equals(bytes)).toBe(true);
    expect((await buffer(reading)).equals(bytes)).toBe(true);
    await vi.waitFor(() => expect(registry.open).toBe(1), { timeout: 30_000 });
  });

  it('end with the client, whatever is under way over them', async () => {
    await using registry = await ScriptedRegistry.start([HEAD, { on: GET, body: bytes, stallAfter: 1000 }]);
    await using client = fastClient({ hosts: provider() });
    await edit(registry);
    const body = await client.repository(REFERENCE).fetch(blob);
    await edit(registry);
    await client.resolver().resolve(REFERENCE);
    await client.close();
    await expect(buffer(body)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await vi.waitFor(() => expect(registry.open).toBe(0), { timeout: 30_000 });
  });

  it('are not made to last by a host that an upload goes on with', async () => {
    await using registry = await ScriptedRegistry.start([
      { on: 'HEAD /v2/team/app/blobs/*', status: 404 },
      { on: 'POST /v2/team/app/blobs/uploads/', status: 202, headers: { location: '/up?state=1' } },
      { on: 'PUT /up?state=1*', status: 201 },
    ]);
    const { address } = registry;
    await using client = fastClient({ hosts: provider() });
    await edit(registry, address);
    await client.repository(parseReference(`${address}/team/app`)).push(blob, async () => {
      // Between the beginning of the upload and its end.
      await edit(registry, address);
      await client.hostsOf(address);
      await vi.waitFor(() => expect(registry.open).toBe(0), { timeout: 30_000 });
      return Readable.from([bytes], { objectMode: false });
    });
    await vi.waitFor(() => expect(registry.open).toBe(0), { timeout: 30_000 });
  });

  it('stay where another registry has the very same', async () => {
    await using registry = await ScriptedRegistry.start([
      HEAD,
      { ...HEAD, on: 'HEAD /v2/team/app/manifests/1?ns=other.example' },
    ]);
    const read = provider();
    await edit(registry);
    const shared = await read('registry.example');
    const hosts: HostsProvider = (name) => (name === 'other.example' ? Promise.resolve(shared) : read(name));
    await using client = fastClient({ hosts });
    await client.resolver().resolve(REFERENCE);
    await client.resolver().resolve(parseReference('other.example/team/app:1'));
    await edit(registry);
    await client.resolver().resolve(REFERENCE);
    await client.resolver().resolve(parseReference('other.example/team/app:1'));
    expect([registry.connections, registry.open]).toEqual([2, 2]);
  });
});
