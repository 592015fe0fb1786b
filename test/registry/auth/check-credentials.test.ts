import { describe, expect, it } from 'vitest';

import { checkCredentials } from '../../../src/registry/registry-client.js';
import type { MirrorList } from '../../../src/registry/hosts/mirror-list.js';
import type { RegistryClient, RegistryClientOptions } from '../../../src/registry/index.js';
import { startDockerRegistry, REGISTRY_USER } from '../../support/docker-registry.js';
import { needsPeer } from '../../support/peers.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';
import { startTokenServer, type TokenServerOptions } from '../../support/token-server.js';

const PING = 'GET /v2/';
const pilot = { username: 'pilot', password: secret('landfall-pass') };
const wrong = { username: 'pilot', password: secret('not-the-password') };
const BASIC = `Basic ${Buffer.from(`pilot:${pilot.password}`).toString('base64')}`;
const challenge = { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };

async function check(
  address: string,
  credentials: typeof pilot,
  options: RegistryClientOptions = {},
): Promise<unknown> {
  await using client: RegistryClient = fastClient({ plainHttp: true, ...options });
  return await client.checkCredentials(address, credentials);
}

describe('credentials', () => {
  const good: [name: string, steps: Step[], asked: boolean][] = [
    [
      'that the registry takes',
      [
        { on: PING, expect: { authorization: undefined }, ...challenge },
        { on: PING, expect: { authorization: BASIC }, body: '{}' },
      ],
      true,
    ],
    ['that nobody asks for', [{ on: PING, body: '{}' }], false],
  ];
  it.each(good)('%s are told from others', async (_name, steps, asked) => {
    await using registry = await ScriptedRegistry.start(steps);
    expect(await check(registry.address, pilot)).toEqual({ asked });
  });

  const bad: [name: string, code: string, steps: Step[]][] = [
    ['that it refuses', 'UNAUTHORIZED', [{ on: PING, times: 2, ...challenge }]],
    ['where there is no registry', 'NOT_FOUND', [{ on: PING, status: 404 }]],
    [
      'that it forbids',
      'DENIED',
      [
        { on: PING, ...challenge },
        { on: PING, status: 403 },
      ],
    ],
  ];
  it.each(bad)('%s: %s', async (_name, code, steps) => {
    await using registry = await ScriptedRegistry.start(steps);
    const error = await failure(check(registry.address, wrong));
    expect(error.code).toBe(code);
    expect(JSON.stringify(error)).not.toContain(wrong.password);
  });

  it('are those to be checked, not those that are stored', async () => {
    await using registry = await ScriptedRegistry.start([
      { on: PING, ...challenge },
      { on: PING, expect: { authorization: BASIC }, body: '{}' },
    ]);
    await check(registry.address, pilot, { credentials: () => Promise.resolve(wrong) });
  });
});

it('are not for a mirror', async () => {
  const { asked } = await checkCredentials(pilot, {
    registry: 'quay.io',
    mirrorsWith: async (provider) => {
      expect(await provider('mirror.lan')).toBeUndefined();
      return { run: () => Promise.resolve() } as unknown as MirrorList;
    },
  });
  expect(asked).toBe(false);
});

describe.skipIf(needsPeer('docker-registry') !== undefined)('against docker-registry', () => {
  it('with htpasswd', async () => {
    await using registry = await startDockerRegistry({ htpasswd: true });
    expect(await check(registry.address, REGISTRY_USER)).toEqual({ asked: true });
    expect(await failure(check(registry.address, wrong))).toMatchObject({ code: 'UNAUTHORIZED' });
  });

  it('that asks nobody', async () => {
    await using registry = await startDockerRegistry();
    expect(await check(registry.address, wrong)).toEqual({ asked: false });
  });

  it.each<[string, TokenServerOptions]>([
    ['by GET', {}],
    ['by POST', { methods: ['POST'] }],
  ])('with tokens %s', async (_name, options) => {
    await using server = await startTokenServer({ user: REGISTRY_USER, ...options });
    await using registry = await startDockerRegistry({ token: server.token });
    expect(await check(registry.address, REGISTRY_USER)).toEqual({ asked: true });
    expect(server.asked.every((parameters) => !parameters.has('scope'))).toBe(true);
    expect(await failure(check(registry.address, wrong))).toMatchObject({ code: 'UNAUTHORIZED' });
  });
});
