import { buffer } from 'node:stream/consumers';

import { describe, expect, it } from 'vitest';

import type { CommandContext } from '../../../src/cli/output/command-context.js';
import { Log } from '../../../src/cli/output/log.js';
import { openRegistry } from '../../../src/cli/images/open-registry.js';
import { type GlobalFlags, resolveSettings } from '../../../src/cli/config/settings.js';
import type { RegistryClient } from '../../../src/registry/index.js';
import { MEDIA_TYPES, parseReference } from '../../../src/spec/index.js';
import { fakeSurroundings } from '../../cli/fake-surroundings.js';
import { hosts, mirrorAt, upstreamAt } from '../../support/host-configs.js';
import { blobOf, failure, fastClient, patterned } from '../../support/registry-fixture.js';
import {
  manifestReply,
  redirectReply,
  ScriptedRegistry,
  type Step,
} from '../../support/scripted-registry.js';
import { record, secret } from '../../support/secrets.js';

const REFERENCE = parseReference('registry.example/team/app:1');
const MANIFEST = '/v2/team/app/manifests/1';
const HEAD: Step = { on: `HEAD ${MANIFEST}`, ...manifestReply('{}') };
const bytes = patterned(1000);
const blob = blobOf(bytes);
const BLOB = `/v2/team/app/blobs/${blob.digest}`;

const PASSWORD = secret('request-log-password');
const TOKEN = secret('request-log-token');
const SIGNATURE = secret('request-log-signature');
const USER_INFO = secret('request-log-user-info');
const STATE = secret('request-log-state');
const SECRETS = /request-log-|cmVxdWVzdC1sb2ct/;

describe('each request is told', () => {
  it('with method, URL, host, attempt, status, and how long the answer took', async () => {
    await using registry = await ScriptedRegistry.start([{ ...HEAD, delayMs: 50 }]);
    await using client = fastClient({ hosts: hosts(upstreamAt(registry.address)) });
    await client.resolver().resolve(REFERENCE);
    const [event] = client.events;
    expect(client.events).toEqual([
      {
        method: 'HEAD',
        url: `http://${registry.address}${MANIFEST}`,
        host: registry.address,
        attempt: 1,
        status: 200,
        durationMs: expect.any(Number) as number,
      },
    ]);
    // Timers may fire a little early.
    expect(event?.durationMs).toBeGreaterThanOrEqual(48);
  });

  it('with what broke instead of a status, and as a further attempt where it is tried again', async () => {
    await using registry = await ScriptedRegistry.start([
      { on: HEAD.on, dropAfter: -1 },
      { on: HEAD.on, status: 503 },
      { on: `GET ${MANIFEST}`, ...manifestReply('{"schemaVersion":2,"manifests":[]}', MEDIA_TYPES.ociIndex) },
    ]);
    await using client = fastClient({ hosts: hosts(upstreamAt(registry.address)) });
    await client.resolver().resolve(REFERENCE);
    expect(client.events.map(({ attempt, status, failure: broke }) => [attempt, status, broke])).toEqual([
      [1, undefined, 'UND_ERR_SOCKET'],
      [2, 503, undefined],
      [3, 200, undefined],
    ]);
    expect(client.events.every(({ durationMs }) => durationMs >= 0)).toBe(true);
  });

  it('by the host that it went to', async () => {
    await using mirror = await ScriptedRegistry.start([
      { on: `${HEAD.on}?ns=registry.example`, status: 404 },
      { on: `GET ${MANIFEST}?ns=registry.example`, status: 404 },
    ]);
    await using upstream = await ScriptedRegistry.start([HEAD]);
    await using client = fastClient({ hosts: hosts(mirrorAt(mirror.address), upstreamAt(upstream.address)) });
    await client.resolver().resolve(REFERENCE);
    expect(client.events.map(({ method, url, host, status }) => [method, url, host, status])).toEqual([
      ['HEAD', `http://${mirror.address}${MANIFEST}`, mirror.address, 404],
      ['GET', `http://${mirror.address}${MANIFEST}`, mirror.address, 404],
      ['HEAD', `http://${upstream.address}${MANIFEST}`, upstream.address, 200],
    ]);
  });
});

/**
 * Scripts all that no log may show: credentials, a token, signed addresses. Gives what may be shown of the
 * requests.
 */
function keepSecrets(registry: ScriptedRegistry): readonly string[] {
  const { origin } = registry;
  const bearer = { expect: { authorization: `Bearer ${TOKEN}` } };
  registry.expect(
    {
      on: HEAD.on,
      expect: { authorization: undefined },
      status: 401,
      headers: { 'www-authenticate': `Bearer realm="${origin}/token?key=${STATE}",service="registry"` },
    },
    {
      on: `GET /token?key=${STATE}*`,
      expect: { authorization: `Basic ${Buffer.from(`robot:${PASSWORD}`).toString('base64')}` },
      body: JSON.stringify({ token: TOKEN }),
    },
    { ...HEAD, ...bearer },
    {
      on: `GET ${BLOB}`,
      ...bearer,
      ...redirectReply(
        `http://${USER_INFO}:${USER_INFO}@${registry.address}/cdn?X-Amz-Signature=${SIGNATURE}#${STATE}`,
      ),
    },
    { on: `GET /cdn?X-Amz-Signature=${SIGNATURE}`, dropAfter: -1 },
    { on: `GET ${BLOB}`, ...bearer, ...redirectReply(`${origin}/cdn?X-Amz-Signature=${SIGNATURE}`) },
    { on: `GET /cdn?X-Amz-Signature=${SIGNATURE}`, body: bytes },
  );
  const path = `HEAD ${origin}${MANIFEST}`;
  const get = `GET ${origin}${BLOB}`;
  const cdn = `GET ${origin}/cdn`;
  return [
    `${path} 401 1`,
    `GET ${origin}/token 200 1`,
    `${path} 200 1`,
    `${get} 307 1`,
    `${cdn} UND_ERR_SOCKET 1`,
    `${get} 307 2`,
    `${cdn} 200 2`,
  ];
}

async function resolveAndFetch(client: RegistryClient, name: string): Promise<void> {
  const reference = parseReference(`${name}/team/app:1`);
  await client.resolver().resolve(reference);
  expect((await buffer(await client.repository(reference).fetch(blob))).equals(bytes)).toBe(true);
}

describe('nothing is told of queries, user info, credentials and tokens', () => {
  it('by the events', async () => {
    await using registry = await ScriptedRegistry.start([]);
    const lines = keepSecrets(registry);
    await using client = fastClient({
      plainHttp: true,
      credentials: () => Promise.resolve({ username: 'robot', password: PASSWORD }),
    });
    await resolveAndFetch(client, registry.address);
    expect(
      client.events.map(
        ({ method, url, status, failure: broke, attempt }) =>
          `${method} ${url} ${status ?? broke ?? ''} ${attempt}`,
      ),
    ).toEqual(lines);
    expect(JSON.stringify(client.events)).not.toMatch(SECRETS);
  });

  it('by the debug log of the command, which has all else', async () => {
    await using registry = await ScriptedRegistry.start([]);
    const lines = keepSecrets(registry);
    const log: string[] = [];
    const context = contextOf({ plainHttp: true, logLevel: 'debug', creds: `robot:${PASSWORD}` }, log);
    await using client = await openRegistry(context, [`${registry.address}/team/app:1`]);
    await resolveAndFetch(client, registry.address);
    const requests = log.filter((line) => line.includes('debug: '));
    expect(requests.map((line) => line.replace(/ [\d.]+ (?:ms|s) \(attempt (\d)\)/, ' $1'))).toEqual(
      lines.map((line) => `landfall: debug: ${line}\n`),
    );
    expect(log.join('')).not.toMatch(SECRETS);
  });

  it('by an error', async () => {
    await using registry = await ScriptedRegistry.start([]);
    const location = `${registry.origin}/cdn?X-Amz-Signature=${SIGNATURE}`;
    registry.expect(
      { on: `GET ${BLOB}`, ...redirectReply(location) },
      { on: `GET /cdn?X-Amz-Signature=${SIGNATURE}`, status: 404 },
    );
    await using client = fastClient({ plainHttp: true });
    const repository = client.repository(parseReference(`${registry.address}/team/app`));
    const error = await failure(repository.fetch(blob));
    expect(error.details).toMatchObject({ method: 'GET', url: `${registry.origin}/cdn`, status: 404 });
    expect(JSON.stringify(error)).not.toMatch(SECRETS);
  });
});

it('the debug log of the command shows a line for each request, other levels none', async () => {
  const reported = async (logLevel: 'debug' | 'info'): Promise<string[]> => {
    await using registry = await ScriptedRegistry.start([{ on: HEAD.on, dropAfter: -1 }, HEAD]);
    const log: string[] = [];
    await using client = await openRegistry(contextOf({ plainHttp: true, logLevel }, log), []);
    await client.resolver().resolve(parseReference(`${registry.address}/team/app:1`));
    return log.map((line) => line.replaceAll(registry.address, 'HOST'));
  };
  const line = (answer: string, attempt: number): RegExp =>
    new RegExp(
      `^landfall: debug: HEAD http://HOST${MANIFEST} ${answer} [\\d.]+ (ms|s) \\(attempt ${attempt}\\)\\n$`,
    );
  expect(await reported('debug')).toEqual([
    expect.stringMatching(line('UND_ERR_SOCKET', 1)),
    expect.stringMatching(line('200', 2)),
  ]);
  expect(await reported('info')).toEqual([]);
});

function contextOf(flags: GlobalFlags, lines: string[]): CommandContext {
  const surroundings = fakeSurroundings({ env: { HOME: '/nonexistent' } });
  const settings = resolveSettings({ hostsDir: [], ...flags }, surroundings);
  const log = new Log(settings.logLevel, (text) => {
    record('log', text);
    lines.push(text);
  });
  return { ...surroundings, settings, log, signal: new AbortController().signal };
}
