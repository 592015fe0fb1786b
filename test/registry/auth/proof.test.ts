import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, it, vi } from 'vitest';

import type { Credentials, RegistryClient } from '../../../src/registry/index.js';
import { parseReference } from '../../../src/spec/index.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { manifestReply, type Reply, ScriptedRegistry } from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';

const wrong = { username: 'pilot', password: secret('not-the-password') };
const pilot = { username: 'pilot', password: secret('landfall-pass') };
const manifest = manifestReply('{"schemaVersion":2}');
const NAMES = ['a', 'b', 'c', 'd', 'e'];
const UNAUTHORIZED = NAMES.map(() => 'UNAUTHORIZED');

const basicOf = ({ username, password }: typeof pilot): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
const granted = (): Reply => ({ body: JSON.stringify({ token: secret('token-of-pilot') }) });

/** Takes `pilot`'s password. */
async function withBasic(): Promise<ScriptedRegistry> {
  const challenge = { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
  return await ScriptedRegistry.start([
    {
      on: 'HEAD /v2/*',
      times: 'any',
      reply: ({ headers }) => (headers.authorization === basicOf(pilot) ? manifest : challenge),
    },
  ]);
}

/** @param more what the token server says where the password is right, by the name of the image */
async function withTokens(more: (name: string, nth: number) => Reply = granted): Promise<ScriptedRegistry> {
  const registry = await ScriptedRegistry.start([]);
  const bearer = `Bearer realm="http://${registry.address}/token",service="x"`;
  const challenge = { status: 401, headers: { 'www-authenticate': bearer } };
  registry.expect(
    {
      on: 'HEAD /v2/*',
      times: 'any',
      reply: ({ headers }) => (headers.authorization === undefined ? challenge : manifest),
    },
    {
      on: 'GET /token*',
      times: 'any',
      reply: ({ line, headers }, nth) =>
        headers.authorization === basicOf(pilot)
          ? more(/repository%3A(\w+)/.exec(line)?.[1] ?? '', nth)
          : { status: 401 },
    },
  );
  return registry;
}

function clientOf(credentials: () => Credentials): RegistryClient {
  return fastClient({ plainHttp: true, credentials: () => Promise.resolve(credentials()) });
}

async function resolve(
  client: RegistryClient,
  { address }: ScriptedRegistry,
  name: string,
  options: { signal?: AbortSignal } = {},
): Promise<unknown> {
  return await client.resolver().resolve(parseReference(`${address}/${name}:1`), options);
}

async function refusals(client: RegistryClient, registry: ScriptedRegistry): Promise<string[]> {
  return await Promise.all(NAMES.map(async (name) => (await failure(resolve(client, registry, name))).code));
}

function shown({ requests }: ScriptedRegistry, credentials = wrong): number {
  return requests.filter(({ headers }) => headers.authorization === basicOf(credentials)).length;
}

const servers: [name: string, start: () => Promise<ScriptedRegistry>, most: number][] = [
  ['a registry', withBasic, 1],
  ['a token server', withTokens, 2],
];

it.each(servers)('%s is not shown a wrong password for each image', async (_name, start, most) => {
  await using registry = await start();
  await using client = clientOf(() => wrong);
  expect(await refusals(client, registry)).toEqual(UNAUTHORIZED);
  for (const name of NAMES) {
    expect(await failure(resolve(client, registry, name))).toMatchObject({ code: 'UNAUTHORIZED' });
  }
  expect(shown(registry)).toBe(most);
});

it.each(servers)('%s is shown a password that took the place of a wrong one', async (_name, start, most) => {
  await using registry = await start();
  let credentials = wrong;
  await using client = clientOf(() => credentials);
  expect(await refusals(client, registry)).toEqual(UNAUTHORIZED);
  credentials = pilot;
  for (const name of NAMES) await resolve(client, registry, name);
  expect(shown(registry)).toBe(most);
});

it.each(servers)('%s is shown a wrong password again after a long time', async (_name, start, most) => {
  await using registry = await start();
  await using client = clientOf(() => wrong);
  await refusals(client, registry);
  const now = performance.now.bind(performance);
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 3_600_000);
  try {
    await refusals(client, registry);
  } finally {
    clock.mockRestore();
  }
  expect(shown(registry)).toBe(2 * most);
});

it('a token server is not shown a password for each image that it took before and takes no more', async () => {
  let isChanged = false;
  await using registry = await withTokens(() => (isChanged ? { status: 401 } : granted()));
  await using client = clientOf(() => pilot);
  await resolve(client, registry, 'first');
  const before = shown(registry, pilot);
  isChanged = true;
  expect(await refusals(client, registry)).toEqual(UNAUTHORIZED);
  const atOnce = shown(registry, pilot) - before;
  expect(await refusals(client, registry)).toEqual(UNAUTHORIZED);
  // Those that were under way together, and the one that settled it.
  expect(atOnce).toBeLessThanOrEqual(NAMES.length + 1);
  expect(shown(registry, pilot) - before).toBe(atOnce);
});

it('a token server that refuses one image of a password that it takes is asked for the others', async () => {
  await using registry = await withTokens((name) => (name === 'b' ? { status: 401 } : granted()));
  await using client = clientOf(() => pilot);
  await resolve(client, registry, 'a');
  for (let round = 0; round < 3; round += 1) {
    expect(await failure(resolve(client, registry, 'b'))).toMatchObject({ code: 'UNAUTHORIZED' });
    await resolve(client, registry, `other${round}`);
  }
});

it('a password that one host refuses is shown to another one', async () => {
  await using refusing = await withTokens(() => ({ status: 401 }));
  await using registry = await withTokens();
  await using client = clientOf(() => pilot);
  expect(await refusals(client, refusing)).toEqual(UNAUTHORIZED);
  for (const name of NAMES) await resolve(client, registry, name);
});

it('a token server that answers 401 for one image gives tokens for the others', async () => {
  await using registry = await withTokens((name) =>
    name === 'a' || name === 'b' ? { status: 401 } : granted(),
  );
  await using client = clientOf(() => pilot);
  const results = await Promise.allSettled(NAMES.map((name) => resolve(client, registry, name)));
  const refused = ['rejected', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'];
  expect(results.map(({ status }) => status)).toEqual(refused);
});

it('a password that lacks rights for one image is shown for the others', async () => {
  await using registry = await withTokens((name) => (name === 'a' ? { status: 403 } : granted()));
  await using client = clientOf(() => pilot);
  expect((await failure(resolve(client, registry, 'a'))).code).toBe('DENIED');
  for (const name of NAMES.slice(1)) await resolve(client, registry, name);
});

it('an image that waits proves the password where the pull that did so is aborted', async () => {
  const abort = new AbortController();
  const after = once(abort.signal, 'abort');
  await using registry = await withTokens((_name, nth) => (nth === 1 ? { ...granted(), after } : granted()));
  await using client = clientOf(() => pilot);
  const aborted = failure(resolve(client, registry, 'a', { signal: abort.signal }));
  while (shown(registry, pilot) === 0) await sleep(1);
  const kept = NAMES.slice(1).map((name) => resolve(client, registry, name));
  await sleep(20);
  expect(shown(registry, pilot)).toBe(1);
  abort.abort();
  expect((await aborted).code).toBe('ABORTED');
  await Promise.all(kept);
});
