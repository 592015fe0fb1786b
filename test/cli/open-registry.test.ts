import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CommandContext } from '../../src/cli/output/command-context.js';
import { Log } from '../../src/cli/output/log.js';
import { openRegistry } from '../../src/cli/images/open-registry.js';
import { resolveSettings } from '../../src/cli/config/settings.js';
import type { LandfallError } from '../../src/errors.js';
import { parseReference } from '../../src/spec/index.js';
import { blobOf, failure } from '../support/registry-fixture.js';
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

describe('what the network is told', () => {
  const resolving = async (flags: Parameters<typeof contextWith>[0], env = {}): Promise<LandfallError> => {
    await using client = await openRegistry({ ...contextWith(flags), env }, []);
    return await failure(client.resolver().resolve(parseReference('registry.example/app:1')));
  };

  test('is told to the hosts of --hosts-dir', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-hosts-'));
    await mkdir(join(directory, '_default'));
    await writeFile(join(directory, '_default/hosts.toml'), `server = "http://${host}"`);
    await resolving({ hostsDir: [directory] });
    expect(requests[0]?.url).toBe('/v2/app/manifests/1?ns=registry.example');
    await rm(directory, { recursive: true });
  });

  test('goes through the proxy of the environment', async () => {
    const error = await resolving({ plainHttp: true }, { HTTP_PROXY: 'http://127.0.0.1:1' });
    expect(error.message).toContain('the proxy 127.0.0.1:1');
  });

  test('a registry may ask to be left alone for so long as --max-retry-after says', async () => {
    server.removeAllListeners('request');
    let asked = 0;
    server.on('request', (_request, response: ServerResponse) => {
      asked += 1;
      response.writeHead(429, { 'retry-after': '2' }).end();
    });
    const context = contextWith({ plainHttp: true, maxRetryAfter: 1 });
    await using client = await openRegistry(context, []);
    const error = await failure(client.resolver().resolve(parseReference(`${host}/app:1`)));
    expect(error).toMatchObject({ code: 'RATE_LIMITED', details: { retryAfterMs: 2000 } });
    expect(asked).toBe(1);
  });

  test('bodies come no faster than --limit-rate says', async () => {
    const body = Buffer.alloc(300_000);
    server.removeAllListeners('request');
    server.on('request', (_request, response: ServerResponse) => response.end(body));
    await using client = await openRegistry(contextWith({ plainHttp: true, limitRate: 500_000 }), []);
    const begun = performance.now();
    const repository = client.repository(parseReference(`${host}/app`));
    await buffer(await repository.fetch(blobOf(body)));
    // A tenth of a second's worth may come ahead of its time, and what was in the buffers when it was held
    // back.
    expect(performance.now() - begun).toBeGreaterThan(200);
  });
});
