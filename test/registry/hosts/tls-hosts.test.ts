import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { exitCodeOf } from '../../../src/cli/output/exit-codes.js';
import { hostsFromDirectories, type RegistryClientOptions } from '../../../src/registry/index.js';
import { parseReference } from '../../../src/spec/index.js';
import { CertificateAuthority, type Issued } from '../../support/certificate-authority.js';
import { blobOf, failure, fastClient, patterned } from '../../support/registry-fixture.js';
import {
  manifestReply,
  redirectReply,
  ScriptedRegistry,
  type Step,
} from '../../support/scripted-registry.js';

const HEAD: Step = { on: 'HEAD /v2/team/app/manifests/1', ...manifestReply('{}') };
const bytes = patterned(1000);
const blob = blobOf(bytes);
const BLOB = `/v2/team/app/blobs/${blob.digest}`;

const authority = new CertificateAuthority();
const stranger = new CertificateAuthority('a stranger');
const own = authority.server();
const clients = new CertificateAuthority('authority of clients');
const pilot = clients.client();

let top = '';
let now = 0;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), 'landfall-tls-hosts-'));
  now = 0;
});
afterEach(() => rm(top, { recursive: true }));

/** Writes files into the directory of a registry. */
async function place(registry: string, files: Readonly<Record<string, string>>): Promise<void> {
  const directory = join(top, registry.replace(/:(\d+)$/, '_$1_'));
  await mkdir(directory, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
}

function pair(name: string, { cert, key }: Issued): Record<string, string> {
  return { [`${name}.cert`]: cert, [`${name}.key`]: key };
}

/** A client that finds hosts in the directories on disk. */
function clientOf(options: RegistryClientOptions = {}): ReturnType<typeof fastClient> {
  return fastClient({ hosts: hostsFromDirectories([top], { now: () => now }), ...options });
}

const resolving = (client: ReturnType<typeof fastClient>, address: string): Promise<unknown> =>
  client.resolver().resolve(parseReference(`${address}/team/app:1`));

const CLIENT = 'client = [["pilot.cert", "pilot.key"]]';

describe('is connected to', () => {
  const rows: [name: string, files: Record<string, string>, shown: string | undefined][] = [
    ['by `ca`', { 'hosts.toml': 'ca = "ca.pem"', 'ca.pem': authority.cert }, undefined],
    [
      'by one `ca` of several',
      { 'hosts.toml': 'ca = ["a.pem", "b.pem"]', 'a.pem': stranger.cert, 'b.pem': authority.cert },
      undefined,
    ],
    ['by `skip_verify`', { 'hosts.toml': 'skip_verify = true' }, undefined],
    [
      'by `ca` and `client`',
      { 'hosts.toml': `ca = "ca.pem"\n${CLIENT}`, 'ca.pem': authority.cert, ...pair('pilot', pilot) },
      'pilot',
    ],
    [
      'by `skip_verify` and a `client` with its key in the same file',
      { 'hosts.toml': 'skip_verify = true\nclient = "pilot.pem"', 'pilot.pem': pilot.cert + pilot.key },
      'pilot',
    ],
    ["by docker's ca.crt", { 'ca.crt': authority.cert }, undefined],
    [
      "by docker's ca.crt, pilot.cert and pilot.key",
      { 'ca.crt': authority.cert, ...pair('pilot', pilot) },
      'pilot',
    ],
  ];

  it.each(rows)('a registry: %s', async (_name, files, shown) => {
    const tls = { ...own, ...(shown === undefined ? {} : { clientsOf: clients.cert }) };
    await using registry = await ScriptedRegistry.start([HEAD], tls);
    await place(registry.address, files);
    await using client = clientOf();
    await resolving(client, registry.address);
    expect(registry.requests.map(({ client: name }) => name)).toEqual([shown]);
    expect(client.events.map(({ url }) => url.split(':')[0])).toEqual(['https']);
  });

  // Docker's files are for the registry itself alone.
  const forMirrors = rows.filter(([, files]) => files['hosts.toml'] !== undefined);

  it.each(forMirrors)('a mirror: %s', async (_name, files, shown) => {
    const tls = { ...own, ...(shown === undefined ? {} : { clientsOf: clients.cert }) };
    await using mirror = await ScriptedRegistry.start(
      [{ ...HEAD, on: `${HEAD.on}?ns=registry.example` }],
      tls,
    );
    await place('registry.example', {
      ...files,
      'hosts.toml': `[host."${mirror.origin}"]\n${files['hosts.toml'] ?? ''}`,
    });
    await using client = clientOf();
    await resolving(client, 'registry.example');
    expect(mirror.requests.map(({ client: name }) => name)).toEqual([shown]);
  });

  it('a registry by --ca beside another `ca` of its own', async () => {
    await using registry = await ScriptedRegistry.start([HEAD], own);
    await place(registry.address, { 'hosts.toml': 'ca = "ca.pem"', 'ca.pem': stranger.cert });
    await using client = clientOf({ ca: authority.cert });
    await resolving(client, registry.address);
  });
});

describe('is refused', () => {
  const HINT =
    'Give the authority with --ca, or as `ca` in the hosts.toml of the registry; --insecure accepts any certificate.';

  it.each<[name: string, files: Record<string, string>]>([
    ['where nothing is configured', {}],
    ['where another one is `ca`', { 'hosts.toml': 'ca = "ca.pem"', 'ca.pem': stranger.cert }],
    ['where another one is docker’s', { 'ca.crt': stranger.cert }],
    [
      'where `skip_verify` is for another host',
      { 'hosts.toml': '[host."https://127.0.0.1:1"]\ncapabilities = ["push"]\nskip_verify = true' },
    ],
  ])('an unknown authority, with the hint how to add it: %s', async (_name, files) => {
    await using registry = await ScriptedRegistry.start([], own);
    await place(registry.address, files);
    await using client = clientOf();
    const error = await failure(resolving(client, registry.address));
    expect(error).toMatchObject({ code: 'CERTIFICATE_INVALID', retryable: false, hint: HINT });
    expect(error.message).toContain(
      `the certificate of ${registry.address} is signed by an unknown authority`,
    );
    expect(client.events).toHaveLength(1);
  });

  it.each<[name: string, issued: Issued, says: RegExp, hint: string]>([
    [
      'another name',
      authority.server({ hosts: ['elsewhere.example'] }),
      /^is for elsewhere\.example \(ERR_TLS_CERT_ALTNAME_INVALID\)$/,
      'Use a name that it has',
    ],
    [
      'another day',
      authority.server({ expired: true }),
      /^expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC \(CERT_HAS_EXPIRED\)$/,
      `Check the clock, which says ${new Date().getUTCFullYear()}-`,
    ],
  ])('a certificate for %s', async (_name, issued, says, hint) => {
    await using registry = await ScriptedRegistry.start([], issued);
    await place(registry.address, { 'ca.crt': authority.cert });
    await using client = clientOf();
    const error = await failure(resolving(client, registry.address));
    expect(error).toMatchObject({ code: 'CERTIFICATE_INVALID', retryable: false });
    const begin = `the certificate of ${registry.address} `;
    expect([error.message.startsWith(begin), error.message.slice(begin.length)]).toEqual([
      true,
      expect.stringMatching(says),
    ]);
    expect(error.hint).toContain(hint);
    expect(exitCodeOf(error)).toBe(6);
  });

  it.each<[name: string, files: Record<string, string>]>([
    ['none', {}],
    ['one of another authority', pair('pilot', stranger.client())],
  ])('by a registry that wants a client’s certificate, where it is shown %s', async (_name, files) => {
    await using registry = await ScriptedRegistry.start([], { ...own, clientsOf: clients.cert });
    await place(registry.address, { 'ca.crt': authority.cert, ...files });
    await using client = clientOf();
    const error = await failure(resolving(client, registry.address));
    expect(error).toMatchObject({ code: 'UNAVAILABLE' });
    expect(error.message).toContain(registry.address);
  });
});

describe('a redirect to another origin', () => {
  it.each<[name: string, clientsOf: string | undefined, isHad: boolean]>([
    ['that asks for none is followed', undefined, true],
    ['that asks for one is not shown it', clients.cert, false],
  ])('with the `ca` of the registry and without its `client`: one %s', async (_name, clientsOf, isHad) => {
    const cdnTls = { ...own, ...(clientsOf === undefined ? {} : { clientsOf }) };
    await using cdn = await ScriptedRegistry.start([{ on: 'GET /blob', times: 'any', body: bytes }], cdnTls);
    await using registry = await ScriptedRegistry.start(
      [{ on: `GET ${BLOB}`, times: 'any', ...redirectReply(`${cdn.origin}/blob`) }],
      { ...own, clientsOf: clients.cert },
    );
    await place(registry.address, {
      'hosts.toml': `ca = "ca.pem"\n${CLIENT}`,
      'ca.pem': authority.cert,
      ...pair('pilot', pilot),
    });
    await using client = clientOf({ retry: { attempts: 1 } });
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    const fetched = repository.fetch(blob).then((body) => buffer(body));
    if (isHad) expect((await fetched).equals(bytes)).toBe(true);
    else expect((await failure(fetched)).message).toContain(cdn.address);
    expect(registry.requests.map(({ client: name }) => name)).toEqual(['pilot']);
    expect(cdn.requests.map(({ client: name }) => name)).toEqual(isHad ? [undefined] : []);
  });
});

describe('without a new client, from the next look at the files on,', () => {
  const LOOK_MS = 1_000;

  it('another `ca` is trusted', async () => {
    await using registry = await ScriptedRegistry.start([HEAD], own);
    await place(registry.address, { 'hosts.toml': 'ca = "ca.pem"', 'ca.pem': stranger.cert });
    await using client = clientOf();
    await failure(resolving(client, registry.address));
    await place(registry.address, { 'ca.pem': authority.cert });
    now += LOOK_MS;
    await resolving(client, registry.address);
  });

  it('a `ca` that went is no longer trusted', async () => {
    await using registry = await ScriptedRegistry.start([HEAD], own);
    await place(registry.address, { 'hosts.toml': 'ca = "ca.pem"', 'ca.pem': authority.cert });
    await using client = clientOf();
    await resolving(client, registry.address);
    await place(registry.address, { 'hosts.toml': '' });
    now += LOOK_MS;
    expect((await failure(resolving(client, registry.address))).message).toContain('unknown authority');
  });

  it('another `client` is shown', async () => {
    const tls = { ...own, clientsOf: clients.cert };
    await using registry = await ScriptedRegistry.start([{ ...HEAD, times: 3 }], tls);
    await place(registry.address, { 'ca.crt': authority.cert, ...pair('pilot', pilot) });
    await using client = clientOf();
    await resolving(client, registry.address);
    await place(registry.address, pair('pilot', clients.client({ commonName: 'relief' })));
    await resolving(client, registry.address);
    now += LOOK_MS;
    await resolving(client, registry.address);
    expect(registry.requests.map(({ client: name }) => name)).toEqual(['pilot', 'pilot', 'relief']);
    // Connections are kept for as long as the files say the same.
    expect(registry.connections).toBe(2);
  });
});

it('`dial_timeout` bounds the handshake of TLS', { timeout: 15_000 }, async () => {
  const sockets = new Set<net.Socket>();
  const silent = net.createServer((socket) => sockets.add(socket.on('error', () => undefined)));
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const address = `127.0.0.1:${(silent.address() as net.AddressInfo).port}`;
  await place(address, { 'hosts.toml': 'dial_timeout = "200ms"' });
  const client = clientOf({ retry: { attempts: 1 }, timeouts: { connectMs: 60_000 } });
  const error = await failure(resolving(client, address));
  await client.close();
  for (const socket of sockets) socket.destroy();
  silent.close();
  expect(error.message).toBe(`connecting to ${address} took too long`);
});
