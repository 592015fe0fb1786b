import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { LandfallError } from '../../../src/errors.js';
import { Authenticator, type Wanted } from '../../../src/registry/auth/authenticate.js';
import type { Credentials, CredentialsProvider } from '../../../src/registry/auth/credentials.js';
import type { HttpSender } from '../../../src/registry/http/http.js';
import { Transport } from '../../../src/registry/http/transport.js';
import { failure } from '../../support/registry-fixture.js';
import { type Reply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';
import { startTokenServer, type TokenServer, type TokenServerOptions } from '../../support/token-server.js';

const pilot = { username: 'pilot', password: secret('pa:ss-wörd') };
const wrong = { username: 'pilot', password: secret('wrong-one') };
const identity = { identityToken: secret('identity-of-pilot') };
const PULL: Wanted = { scopes: ['repository:team/app:pull'], repository: 'team/app' };

const always =
  (credentials: Credentials | undefined): CredentialsProvider =>
  () =>
    Promise.resolve(credentials);

/** What a token server answers; each text in it is a secret. */
function tokenReply(answer: Record<string, string>): Reply {
  for (const [name, value] of Object.entries(answer)) secret(value, `${name} of a token server`);
  return { body: JSON.stringify(answer) };
}

interface Asking {
  readonly authenticator: Authenticator;
  /** Answers a challenge that names this token server. */
  readonly answer: (wanted?: Wanted, refused?: string, scope?: string) => Promise<string | undefined>;
}

function ask(realm: string, credentials: CredentialsProvider, sender?: HttpSender): Asking {
  const transport = sender ?? new Transport({});
  const authenticator = new Authenticator({ registry: 'reg.lan', credentials, transport, userAgent: 'test' });
  return {
    authenticator,
    answer: async (wanted = PULL, refused, scope) =>
      await authenticator.answer({
        lines: [`Bearer realm="${realm}",service="harbour"${scope === undefined ? '' : `,scope="${scope}"`}`],
        origin: new URL('http://reg.lan/'),
        wanted,
        refused,
      }),
  };
}

async function withServer(
  options: TokenServerOptions,
  credentials: CredentialsProvider,
  test: (asking: Asking, server: TokenServer) => Promise<void>,
): Promise<void> {
  await using server = await startTokenServer(options);
  const transport = new Transport({});
  try {
    await test(ask(server.token.realm, credentials, transport), server);
  } finally {
    await transport.close();
  }
}

describe('a token is asked for', () => {
  const rows: [name: string, options: TokenServerOptions, credentials: Credentials, methods: string[]][] = [
    ['with a password by GET', { user: pilot }, pilot, ['GET']],
    [
      'with a password by POST where GET is not allowed',
      { user: pilot, methods: ['POST'] },
      pilot,
      ['GET', 'POST'],
    ],
    ['with an identity token by POST', { identityToken: identity.identityToken }, identity, ['POST']],
    [
      'with an identity token by GET where POST is not allowed',
      { identityToken: identity.identityToken, methods: ['GET'] },
      identity,
      ['POST', 'GET'],
    ],
  ];
  it.each(rows)(
    '%s, and the next time in the way that worked',
    async (_name, options, credentials, methods) => {
      await withServer(options, always(credentials), async ({ authenticator, answer }, server) => {
        expect(await answer()).toMatch(/^Bearer /);
        expect(server.methods).toEqual(methods);
        await authenticator.authorization({ scopes: ['repository:other:pull'], repository: 'other' });
        expect(server.methods).toEqual([...methods, methods.at(-1)]);
      });
    },
  );

  it('with all scopes: repeated in a query, parted by blanks in a form', async () => {
    const wanted = { scopes: ['repository:b:pull', 'repository:a:pull,push'], repository: 'a' };
    for (const methods of [['GET'], ['POST']]) {
      await withServer({ user: pilot, methods }, always(pilot), async ({ answer }, server) => {
        await answer(wanted);
        expect(server.asked.at(-1)?.getAll('scope')).toEqual(
          methods[0] === 'GET'
            ? ['repository:a:pull,push', 'repository:b:pull']
            : ['repository:a:pull,push repository:b:pull'],
        );
      });
    }
  });

  it('with no scope where it is only to be seen who we are', async () => {
    await withServer({ user: pilot }, always(pilot), async ({ answer }, server) => {
      await answer({ scopes: [], repository: undefined });
      expect(Object.fromEntries(server.asked[0] ?? [])).toEqual({ service: 'harbour', account: 'pilot' });
    });
  });

  it('with the form that OAuth2 has for a password', async () => {
    await withServer({ user: pilot, methods: ['POST'] }, always(pilot), async ({ answer }, server) => {
      await answer();
      expect(Object.fromEntries(server.asked[1] ?? [])).toEqual({
        grant_type: 'password',
        username: 'pilot',
        password: pilot.password,
        client_id: 'landfall',
        service: 'harbour',
        scope: PULL.scopes[0],
      });
    });
  });

  it('with the refresh token of an earlier answer, as long as it is good', async () => {
    const options = { user: pilot, methods: ['POST'], refresh: true };
    await withServer(options, always(pilot), async ({ authenticator, answer }, server) => {
      await answer();
      options.refresh = false;
      await authenticator.authorization({ scopes: ['repository:b:pull'], repository: 'b' });
      expect(server.asked.map((form) => form.get('grant_type'))).toEqual([null, 'password', 'refresh_token']);
      expect(server.asked[2]?.has('password')).toBe(false);
    });
  });

  it('with the password again once the refresh token is refused, in the way that worked', async () => {
    await using server = await ScriptedRegistry.start([
      { on: 'GET /token*', status: 404 },
      { on: 'POST /token', ...tokenReply({ access_token: 'token-one', refresh_token: 'fresh-one' }) },
      { on: 'POST /token', ...tokenReply({ access_token: 'token-two' }) },
      { on: 'POST /token', status: 503 },
      { on: 'POST /token', status: 400, body: '{"error":"invalid_grant"}' },
      { on: 'POST /token', times: 2, ...tokenReply({ access_token: 'token-three' }) },
    ]);
    const { authenticator, answer } = ask(`${server.origin}/token`, always(pilot));
    const of = (name: string): Wanted => ({ scopes: [`repository:${name}:pull`], repository: name });
    expect(await answer()).toBe('Bearer token-one');
    expect(await authenticator.authorization(of('b'))).toBe('Bearer token-two');
    expect(await failure(authenticator.authorization(of('c')))).toMatchObject({ retryable: true });
    expect(await authenticator.authorization(of('c'))).toBe('Bearer token-three');
    await authenticator.authorization(of('d'));
    const grants = server.requests.map(({ body }) => new URLSearchParams(body).get('grant_type'));
    const refreshes = ['refresh_token', 'refresh_token', 'refresh_token'];
    expect(grants).toEqual([null, 'password', ...refreshes, 'password', 'password']);
  });

  it('once by fifty who wait', async () => {
    await withServer({ user: pilot }, always(pilot), async ({ answer }, server) => {
      const answers = await Promise.all(Array.from({ length: 50 }, () => answer()));
      expect(new Set(answers).size).toBe(1);
      expect(server.asked).toHaveLength(1);
    });
  });

  it('once by fifty whose token was refused', async () => {
    await withServer({ user: pilot }, always(pilot), async ({ answer }, server) => {
      const first = await answer();
      const answers = await Promise.all(Array.from({ length: 50 }, () => answer(PULL, first)));
      expect(new Set(answers).size).toBe(1);
      expect(answers[0]).not.toBe(first);
      // One more who was slow to be refused.
      expect(await answer(PULL, first)).toBe(answers[0]);
      expect(server.asked).toHaveLength(2);
    });
  });

  it('anew when it has expired, without anybody being refused', async () => {
    await withServer({ lifetime: 1 }, always(undefined), async ({ authenticator, answer }, server) => {
      const first = await answer();
      const seen = new Set([first]);
      // Requests go on all the while.
      while (seen.size === 1) {
        seen.add(await authenticator.authorization(PULL));
        await sleep(20);
      }
      expect(server.asked).toHaveLength(2);
    });
  });

  it('at most once more when it is refused long before it should be', async () => {
    await withServer({ silent: true }, always(undefined), async ({ answer, authenticator }, server) => {
      const first = await answer();
      expect(await authenticator.authorization(PULL)).toBe(first);
      const second = await answer(PULL, first);
      expect(second).not.toBe(first);
      expect(await authenticator.authorization(PULL)).toBe(second);
      expect(server.asked).toHaveLength(2);
    });
  });

  it('of the server that the repository’s own challenge names, not only of the last one', async () => {
    await using one = await ScriptedRegistry.start([
      { on: 'GET /token*', times: 1, ...tokenReply({ token: 'token-one' }) },
    ]);
    await using other = await ScriptedRegistry.start([
      { on: 'GET /token*', ...tokenReply({ token: 'token-other' }) },
      { on: 'GET /token*', times: 2, status: 404 },
    ]);
    const asking = ask(`${other.origin}/token`, always(undefined));
    const app: Wanted = { scopes: ['repository:app:pull'], repository: 'app' };
    expect(await asking.answer(PULL)).toBe('Bearer token-other');
    // A guess by what was learnt for another repository, and no error when it is wrong.
    expect(await asking.authenticator.authorization(app)).toBeUndefined();
    const lines = [`Bearer realm="${one.origin}/token"`];
    const origin = new URL('http://reg.lan/');
    const challenge = { lines, origin, wanted: app, refused: undefined };
    expect(await asking.authenticator.answer(challenge)).toBe('Bearer token-one');
    expect(await asking.authenticator.authorization(app)).toBe('Bearer token-one');
    expect(await asking.authenticator.authorization(PULL)).toBe('Bearer token-other');
    // What is known is no guess.
    const push = { scopes: ['repository:team/app:push'], repository: PULL.repository };
    expect((await failure(asking.authenticator.authorization(push))).code).toBe('NOT_FOUND');
  });
});

describe('a server that refuses', () => {
  const rows: [name: string, code: string, credentials: Credentials, steps: Step[]][] = [
    ['a password, asked once', 'UNAUTHORIZED', wrong, [{ on: 'GET /token*', status: 401 }]],
    ['a password by GET with 403', 'DENIED', wrong, [{ on: 'GET /token*', status: 403 }]],
    [
      'an identity token in both ways',
      'UNAUTHORIZED',
      identity,
      [
        { on: 'POST /token', status: 401 },
        { on: 'GET /token*', status: 404 },
      ],
    ],
    [
      'a password by POST where there is no GET',
      'UNAUTHORIZED',
      wrong,
      [
        { on: 'GET /token*', status: 404 },
        { on: 'POST /token', status: 401 },
      ],
    ],
    [
      'to know any way',
      'NOT_FOUND',
      wrong,
      [
        { on: 'GET /token*', status: 404 },
        { on: 'POST /token', status: 404 },
      ],
    ],
  ];
  it.each(rows)('%s: %s', async (_name, code, credentials, steps) => {
    await using server = await ScriptedRegistry.start(steps);
    const error = await failure(ask(`${server.origin}/token`, always(credentials)).answer());
    expect(error).toMatchObject({ code, retryable: false });
  });

  it('after another way that it does not know may be asked again, if it only is away', async () => {
    await using server = await ScriptedRegistry.start([
      { on: 'GET /token*', status: 404 },
      { on: 'POST /token', status: 503 },
    ]);
    const error = await failure(ask(`${server.origin}/token`, always(pilot)).answer());
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
  });

  it('is told nothing secret back in the error', async () => {
    const echo: Reply = { status: 401, body: JSON.stringify({ message: `no ${identity.identityToken}` }) };
    await using server = await ScriptedRegistry.start([
      { on: 'POST /token', ...echo },
      { on: 'GET /token*', ...echo },
    ]);
    const error = await failure(ask(`${server.origin}/token`, always(identity)).answer());
    expect(JSON.stringify(error) + String(error.stack)).not.toContain(identity.identityToken);
  });
});

describe('credentials', () => {
  /** Gives one after the other, the last one for ever. */
  function oneAfterTheOther(...all: (Credentials | undefined)[]): CredentialsProvider & { asked: number } {
    const provider = (): Promise<Credentials | undefined> => {
      provider.asked += 1;
      return Promise.resolve(all.length > 1 ? all.shift() : all[0]);
    };
    provider.asked = 0;
    return provider;
  }

  it('that were wrong are looked up anew for the next request', async () => {
    const provider = oneAfterTheOther(wrong, pilot);
    await withServer({ user: pilot }, provider, async ({ answer }) => {
      expect((await failure(answer())).code).toBe('UNAUTHORIZED');
      expect(await answer()).toMatch(/^Bearer /);
      await answer();
      expect(provider.asked).toBe(2);
    });
  });

  it('that have become wrong are looked up anew at once', async () => {
    const options = { user: { ...wrong } };
    const provider = oneAfterTheOther(wrong, pilot);
    await withServer(options, provider, async ({ answer, authenticator }) => {
      const first = await answer();
      options.user = pilot;
      expect(await answer(PULL, first)).toMatch(/^Bearer /);
      expect(await authenticator.credentials('team/app')).toEqual(pilot);
      expect(provider.asked).toBe(2);
    });
  });

  it('that stay wrong are looked up once more, and asked about no more than that', async () => {
    const options: TokenServerOptions = { user: wrong };
    const provider = oneAfterTheOther(wrong);
    await withServer(options, provider, async ({ answer, authenticator }, server) => {
      await answer();
      options.user = pilot;
      const other = { scopes: ['repository:team/app:push'], repository: 'team/app' };
      expect((await failure(authenticator.authorization(other))).code).toBe('UNAUTHORIZED');
      expect(provider.asked).toBe(2);
      expect(server.asked).toHaveLength(2);
    });
  });

  it('that are wrong for one repository are not tried without for the next', async () => {
    const options: TokenServerOptions = { user: wrong };
    await withServer(options, always(wrong), async ({ answer, authenticator }) => {
      await answer();
      options.user = pilot;
      const other = { scopes: ['repository:other:pull'], repository: 'other' };
      expect((await failure(authenticator.authorization(other))).code).toBe('UNAUTHORIZED');
    });
  });

  it('of somebody who has logged in since are found when nobody’s token is refused', async () => {
    await withServer({}, oneAfterTheOther(undefined, pilot), async ({ answer }, server) => {
      await answer(PULL, await answer());
      expect(server.asked.map((query) => query.get('account'))).toEqual([null, 'pilot']);
    });
  });

  it('for basic that were refused are looked up anew at once', async () => {
    const basic = (pair: typeof pilot): string =>
      `Basic ${Buffer.from(`${pair.username}:${pair.password}`).toString('base64')}`;
    const { authenticator } = ask('unused', oneAfterTheOther(undefined, wrong, pilot));
    const answer = async (refused?: string): Promise<string | undefined> =>
      await authenticator.answer({
        lines: ['Basic realm="x"'],
        origin: new URL('https://reg.lan/'),
        wanted: PULL,
        refused,
      });
    expect(await answer()).toBeUndefined();
    expect(await answer()).toBe(basic(wrong));
    expect(await authenticator.authorization(PULL)).toBe(basic(wrong));
    expect(await answer(basic(wrong))).toBe(basic(pilot));
    expect(await answer(basic(pilot))).toBeUndefined();
  });

  it('are of one repository each', async () => {
    const users: Record<string, string> = { 'team/app': 'one', other: 'two' };
    const provider: CredentialsProvider = (_registry, repository = '') =>
      Promise.resolve({ username: users[repository] ?? 'none', password: secret('same-for-both') });
    await withServer({}, provider, async ({ answer, authenticator }, server) => {
      await answer({ scopes: [], repository: 'team/app' });
      await authenticator.authorization({ scopes: [], repository: 'other' });
      expect(server.asked.map((query) => query.get('account'))).toEqual(['one', 'two']);
    });
  });

  it('that could not be looked up are looked up again', async () => {
    let broken = true;
    const provider: CredentialsProvider = () =>
      broken ? Promise.reject(new LandfallError('INVALID_CONFIG', 'no helper')) : Promise.resolve(pilot);
    await withServer({ user: pilot }, provider, async ({ answer }, server) => {
      expect((await failure(answer())).code).toBe('INVALID_CONFIG');
      expect(server.asked).toHaveLength(0);
      broken = false;
      expect(await answer()).toMatch(/^Bearer /);
    });
  });

  it('that never come do not keep one who is aborted', async () => {
    const { authenticator } = ask('unused', () => new Promise(() => undefined));
    const abort = new AbortController();
    const error = failure(authenticator.credentials('team/app', { signal: abort.signal }));
    abort.abort();
    expect((await error).code).toBe('ABORTED');
  });
});

describe('a token server on plain http', () => {
  const answer = (origin: string): Promise<string | undefined> =>
    ask('unused', always(pilot), { send: () => Promise.reject(new Error('sent')) }).authenticator.answer({
      lines: ['Bearer realm="http://auth.lan/token"'],
      origin: new URL(origin),
      wanted: PULL,
      refused: undefined,
    });

  it('is shown nothing for a registry on https', async () => {
    expect((await failure(answer('https://reg.lan/v2/'))).code).toBe('PROTOCOL');
  });

  it('is asked for a registry that is on plain http itself', async () => {
    await expect(answer('http://reg.lan/v2/')).rejects.toThrow('sent');
  });
});
