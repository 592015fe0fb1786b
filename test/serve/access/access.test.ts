import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import bcrypt from 'bcryptjs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';

import { BcryptThread } from '../../../src/serve/access/htpasswd.js';
import { Access, Htpasswd } from '../../../src/serve/index.js';
import { codesOf, type Reply, WritableRegistry } from '../push/writable-registry.js';

const CHALLENGE = 'Basic realm="landfall", charset="UTF-8"';

let directory: string;
let file: string;
let registry: WritableRegistry;

const hashed = (password: string): string => bcrypt.hashSync(password, 4).replace(/^\$2[ab]/, '$2y');

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'landfall-htpasswd-'));
  file = join(directory, 'users');
});

beforeEach(async () => {
  const lines = ['# users', '', `pilot:${hashed('harbour')}`, `käpt'n:${hashed('señor: ß')}`];
  await writeFile(file, `${lines.join('\n')}\n`);
});

afterEach(async () => {
  await registry[Symbol.asyncDispose]();
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function start(anonymousRead: boolean): Promise<void> {
  registry = await WritableRegistry.start({
    access: new Access({ users: await Htpasswd.open({ file }), anonymousRead }),
  });
}

const basic = (credentials: string): string => `Basic ${Buffer.from(credentials).toString('base64')}`;

async function ask(method: string, target: string, authorization?: string): Promise<Reply> {
  return await registry.send(method, target, {
    headers: authorization === undefined ? {} : { Authorization: authorization },
  });
}

const READ: readonly [method: string, target: string][] = [
  ['GET', '/v2/'],
  ['GET', '/v2/_catalog'],
  ['HEAD', '/v2/team/app/manifests/1'],
  ['GET', '/'],
];
const WRITE: readonly [method: string, target: string][] = [
  ['POST', '/v2/team/app/blobs/uploads/'],
  ['PUT', '/v2/team/app/manifests/1'],
  ['DELETE', '/v2/team/app/manifests/1'],
];

const WHO: readonly [who: string, authorization: string | undefined, passes: 'all' | 'none' | 'anonymous'][] =
  [
    ['nobody', undefined, 'anonymous'],
    ['somebody without a name', basic(':'), 'anonymous'],
    ['a user', basic('pilot:harbour'), 'all'],
    ['a user, in another case of the scheme', basic('pilot:harbour').replace('Basic', 'basic'), 'all'],
    ['a user whose password has a colon', basic("käpt'n:señor: ß"), 'all'],
    ['a user with a wrong password', basic('pilot:port'), 'none'],
    ['a user with the beginning of the password', basic('pilot:harbou'), 'none'],
    ['a user without a password', basic('pilot:'), 'none'],
    ['a user nobody knows', basic('stranger:harbour'), 'none'],
    ['somebody with a bearer token', 'Bearer abc', 'none'],
    ['somebody with nonsense', 'Basic %%%', 'none'],
    ['somebody without a colon', basic('pilot'), 'none'],
    ['somebody with a name as long as a book', basic(`${'x'.repeat(5000)}:y`), 'none'],
  ];

describe.each([true, false])('where everybody may read: %s', (anonymousRead) => {
  beforeEach(() => start(anonymousRead));

  test.each(WHO)('%s', async (_who, authorization, passes) => {
    for (const [rows, mayAnonymous] of [
      [READ, anonymousRead],
      [WRITE, false],
    ] as const) {
      for (const [method, target] of rows) {
        const reply = await ask(method, target, authorization);
        const may = passes === 'all' || (passes === 'anonymous' && mayAnonymous);
        expect([method, target, reply.status === 401]).toEqual([method, target, !may]);
        if (may) continue;
        expect(reply.headers['www-authenticate']).toBe(CHALLENGE);
        if (method !== 'HEAD') expect(codesOf(reply)).toBe('UNAUTHORIZED');
      }
    }
  });
});

test('who may read without a password is told at the base that there are some', async () => {
  await start(true);
  const { status, headers } = await ask('GET', '/v2/');
  expect([status, headers['www-authenticate']]).toEqual([200, CHALLENGE]);
  expect((await ask('GET', '/v2/', basic('pilot:harbour'))).headers['www-authenticate']).toBeUndefined();
  expect((await ask('GET', '/v2/_catalog')).headers['www-authenticate']).toBeUndefined();
});

test('the user is told to the log, and nobody else is', async () => {
  await start(true);
  await ask('GET', '/v2/', basic('pilot:harbour'));
  await ask('GET', '/v2/');
  await ask('GET', '/v2/', basic('pilot:port'));
  expect(registry.served.map(({ user, status }) => [user, status])).toEqual([
    ['pilot', 200],
    [undefined, 200],
    [undefined, 401],
  ]);
});

test('a changed file counts from then on, and one that cannot be read leaves the users as they were', async () => {
  const problems: unknown[] = [];
  const users = await Htpasswd.open({ file, onError: (error) => problems.push(error) });
  registry = await WritableRegistry.start({ access: new Access({ users, anonymousRead: false }) });
  expect((await ask('GET', '/v2/', basic('pilot:harbour'))).status).toBe(200);
  await writeFile(file, `pilot:${hashed('another')}\n`);
  await expect
    .poll(async () => (await ask('GET', '/v2/', basic('pilot:harbour'))).status, { timeout: 10_000 })
    .toBe(401);
  expect((await ask('GET', '/v2/', basic('pilot:another'))).status).toBe(200);
  await writeFile(file, 'pilot:plain\n');
  await expect
    .poll(
      async () => {
        await ask('GET', '/v2/', basic('pilot:another'));
        return problems.length;
      },
      { timeout: 10_000 },
    )
    .toBeGreaterThan(0);
  expect((await ask('GET', '/v2/', basic('pilot:another'))).status).toBe(200);
});

describe('a file of users', () => {
  test.each([
    ['with a password as it is', 'pilot:harbour', 'line 1'],
    ['with a hash of another kind', `pilot:${hashed('x')}\nmate:$apr1$abc$def`, 'line 2'],
    ['with a line that is no user', `pilot:${hashed('x')}\nnonsense`, 'line 2'],
    ['with a user without a name', `:${hashed('x')}`, 'line 1'],
  ])('%s is refused', async (_what, text, where) => {
    await start(true);
    await writeFile(file, text);
    await expect(Htpasswd.open({ file })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining(where) as string,
    });
  });

  test('that is not there is refused', async () => {
    await start(true);
    await expect(Htpasswd.open({ file: join(directory, 'none') })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
    });
  });
});

test('the same credentials are checked once for many requests at the same time, and known again afterwards', async () => {
  await start(false);
  await writeFile(file, `pilot:${bcrypt.hashSync('harbour', 10)}\n`);
  const users = await Htpasswd.open({ file });
  const asked = vi.spyOn(Worker.prototype, 'postMessage');
  const answers = await Promise.all(Array.from({ length: 100 }, () => users.verify('pilot', 'harbour')));
  for (let n = 0; n < 100; n += 1) answers.push(await users.verify('pilot', 'harbour'));
  expect(new Set(answers)).toEqual(new Set([true]));
  expect(asked).toHaveBeenCalledTimes(1);
  asked.mockRestore();
});

describe('a client that tries wrong passwords', () => {
  const CLIENT = '192.0.2.1';
  const guess = async (
    users: Htpasswd,
    password: string,
    name = 'pilot',
    client = CLIENT,
  ): Promise<unknown> => await users.verify(name, password, client).catch((error: unknown) => error);
  const REFUSED = expect.objectContaining({ status: 429, code: 'TOOMANYREQUESTS' }) as unknown;

  beforeEach(() => start(false));
  afterEach(() => {
    vi.useRealTimers();
  });

  test.each([
    ['one after the other', false],
    ['at once', true],
  ])('has ten, %s, and then one every six seconds, whether it is right or not', async (_how, atOnce) => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const users = await Htpasswd.open({ file });
    const names = Array.from({ length: 12 }, (_, n) => `wrong-${n}`);
    const answers: unknown[] = [];
    if (atOnce) answers.push(...(await Promise.all(names.map((password) => guess(users, password)))));
    else for (const password of names) answers.push(await guess(users, password));
    expect(answers).toEqual([...Array<boolean>(10).fill(false), REFUSED, REFUSED]);
    expect(await guess(users, 'harbour')).toEqual(REFUSED);
    vi.advanceTimersByTime(6000);
    expect(await guess(users, 'wrong')).toBe(false);
    expect(await guess(users, 'harbour')).toEqual(REFUSED);
    vi.advanceTimersByTime(6000);
    expect(await guess(users, 'harbour')).toBe(true);
  });

  test('keeps no other client and no other user out, and learns no names by it', async () => {
    await writeFile(file, `pilot:${hashed('harbour')}\nmate:${hashed('anchor')}\n`);
    const users = await Htpasswd.open({ file });
    for (const name of ['pilot', 'stranger']) {
      for (let n = 0; n < 10; n += 1) expect(await guess(users, `wrong-${n}`, name)).toBe(false);
      expect(await guess(users, 'harbour', name)).toEqual(REFUSED);
    }
    expect(await guess(users, 'harbour', 'pilot', '192.0.2.2')).toBe(true);
    expect(await guess(users, 'anchor', 'mate')).toBe(true);
  });

  test('is bounded where it is right as well, which counts for nothing', async () => {
    const users = await Htpasswd.open({ file });
    for (let n = 0; n < 9; n += 1) await guess(users, `wrong-${n}`);
    for (let n = 0; n < 20; n += 1) expect(await guess(users, 'harbour')).toBe(true);
    expect(await guess(users, 'wrong')).toBe(false);
    expect(await guess(users, 'harbour')).toEqual(REFUSED);
  });

  test('has nothing counted that was never compared', async () => {
    const users = await Htpasswd.open({ file });
    const busy = vi.spyOn(BcryptThread.prototype, 'compare').mockRejectedValue(new Error('busy'));
    for (let n = 0; n < 20; n += 1) expect(await guess(users, 'harbour')).toEqual(new Error('busy'));
    busy.mockRestore();
    expect(await guess(users, 'harbour')).toBe(true);
  });

  test('is answered 429, with when to come again', async () => {
    for (let n = 0; n < 10; n += 1) {
      expect((await ask('GET', '/v2/', basic(`pilot:wrong-${n}`))).status).toBe(401);
    }
    const reply = await ask('GET', '/v2/', basic('pilot:harbour'));
    expect([reply.status, codesOf(reply)]).toEqual([429, 'TOOMANYREQUESTS']);
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0);
    expect(Number(reply.headers['retry-after'])).toBeLessThanOrEqual(6);
  });
});

test('an absent name costs what the costliest name of the file does', async () => {
  await start(false);
  await writeFile(file, `pilot:${hashed('x')}\nmate:${bcrypt.hashSync('y', 7)}\n`);
  const users = await Htpasswd.open({ file });
  const asked = vi.spyOn(Worker.prototype, 'postMessage');
  expect(await users.verify('stranger', 'x')).toBe(false);
  expect(asked.mock.calls).toMatchObject([[{ hash: expect.stringMatching(/^\$2y\$07\$/) as string }]]);
  asked.mockRestore();
});

test('who tries many passwords at once is told to come again', async () => {
  await start(false);
  await writeFile(file, `pilot:${bcrypt.hashSync('harbour', 8)}\n`);
  const users = await Htpasswd.open({ file });
  const tries = Array.from({ length: 80 }, (_, n) => users.verify('pilot', `wrong-${n}`));
  const outcomes = await Promise.allSettled(tries);
  const refused = outcomes.filter(({ status }) => status === 'rejected');
  expect(refused).toHaveLength(80 - 64);
  expect(refused[0]).toMatchObject({ reason: { status: 429, code: 'TOOMANYREQUESTS' } });
  expect(await users.verify('pilot', 'harbour')).toBe(true);
});
