import { createServer, type IncomingMessage, type Server } from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CommandContext } from '../../src/cli/command-context.js';
import { Log } from '../../src/cli/log.js';
import { openRegistry } from '../../src/cli/open-registry.js';
import { resolveSettings } from '../../src/cli/settings.js';
import { parseReference } from '../../src/spec/index.js';
import { record, secret } from '../support/secrets.js';
import { fakeSurroundings } from './fake-surroundings.js';

const PASSWORD = secret('s3cret-of-robot');

let server: Server;
let host: string;
let requests: IncomingMessage[];
let lines: string[];

beforeEach(async () => {
  requests = [];
  lines = [];
  server = createServer((request, response) => {
    requests.push(request);
    const known = request.headers.authorization !== undefined;
    response.writeHead(known ? 404 : 401, known ? {} : { 'WWW-Authenticate': 'Basic realm="test"' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  host = `127.0.0.1:${address.port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function contextWith(flags: Parameters<typeof resolveSettings>[0], stdin?: string): CommandContext {
  const surroundings = fakeSurroundings({
    env: { HOME: '/nonexistent' },
    ...(stdin === undefined ? {} : { stdin }),
  });
  const settings = resolveSettings(flags, surroundings);
  const log = new Log(settings.logLevel, (text) => {
    record('log', text);
    lines.push(text);
  });
  return { ...surroundings, settings, log, signal: new AbortController().signal };
}

/** Asks for a tag that is not there, and tells what the registry was shown. */
async function shown(context: CommandContext, references = [`${host}/app`]): Promise<string[]> {
  await using client = await openRegistry(context, references);
  await client
    .resolver()
    .resolve(parseReference(`${host}/app:1`))
    .catch(() => undefined);
  return requests.flatMap(({ headers }) => headers.authorization ?? []);
}

function basic(pair: string): string {
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

describe('--creds', () => {
  test.each([
    ['user and password', `robot:${PASSWORD}`, undefined, `robot:${PASSWORD}`],
    ['a password with colons', 'robot:a:b', undefined, 'robot:a:b'],
    ['an empty password', 'robot:', undefined, 'robot:'],
    ['a password from standard input', 'robot', `${PASSWORD}\n`, `robot:${PASSWORD}`],
    ['one with a blank at its end', 'robot', `${PASSWORD} \r\n`, `robot:${PASSWORD} `],
  ])('%s', async (_, creds, stdin, pair) => {
    const seen = await shown(contextWith({ plainHttp: true, creds }, stdin));
    expect(new Set(seen)).toEqual(new Set([basic(pair)]));
  });

  test.each([
    ['no user', ':x', undefined, '--creds does not name a user'],
    ['no password', 'robot', '', 'standard input does not hold the password for --creds'],
    [
      'a password beyond reason',
      'robot',
      'x'.repeat(70_000),
      'standard input does not hold the password for --creds',
    ],
  ])('%s is refused', async (_, creds, stdin, message) => {
    await expect(openRegistry(contextWith({ creds }, stdin), [`${host}/app`])).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message,
    });
  });

  test('is for one registry only', async () => {
    const opening = openRegistry(contextWith({ creds: `robot:${PASSWORD}` }), [
      'alpine',
      'quay.io/x/y',
      'UPPER CASE',
    ]);
    await expect(opening).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: '--creds is for one registry, not for docker.io and quay.io',
    });
  });

  test('is not shown to another registry', async () => {
    expect(
      await shown(contextWith({ plainHttp: true, creds: `robot:${PASSWORD}` }), ['quay.io/x/y']),
    ).toEqual([]);
  });

  test('is in no line of the log', async () => {
    await shown(contextWith({ plainHttp: true, creds: `robot:${PASSWORD}`, logLevel: 'debug' }));
    const log = lines.join('');
    expect(log).toContain(`landfall: debug: HEAD http://${host}/v2/app/manifests/1 401 `);
    expect(log).not.toMatch(/s3cret|cm9ib3Q/);
  });
});

test('without --log-level debug requests are not told', async () => {
  await shown(contextWith({ plainHttp: true }));
  expect(lines).toEqual([]);
});

test('the user agent names landfall and its version', async () => {
  await shown(contextWith({ plainHttp: true }));
  expect(requests[0]?.headers['user-agent']).toMatch(/^landfall\/\d+\.\d+\.\d+$/);
});

test.each([['--ca', { ca: '/no/such/file' }, '/no/such/file cannot be read (ENOENT)']])(
  '%s that is not there',
  async (_, flags, message) => {
    await expect(openRegistry(contextWith(flags), ['alpine'])).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message,
    });
  },
);
