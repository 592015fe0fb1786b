import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CommandContext } from '../../../src/cli/output/command-context.js';
import { loginCommand, type LoginFlags } from '../../../src/cli/commands/login.js';
import { exitCodeOf } from '../../../src/cli/output/exit-codes.js';
import { Log } from '../../../src/cli/output/log.js';
import { type GlobalFlags, resolveSettings } from '../../../src/cli/config/settings.js';
import { placeHelper, placeKeepingHelper } from '../../support/fake-helper.js';
import { failure } from '../../support/registry-fixture.js';
import { ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { secret } from '../../support/secrets.js';
import { type FakeSurroundings, fakeSurroundings } from '../fake-surroundings.js';

const PING = 'GET /v2/';
const PASSWORD = secret('s3cret-pass');
const AUTH = Buffer.from(`pilot:${PASSWORD}`).toString('base64');
const challenge = { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
const taken: Step[] = [
  { on: PING, ...challenge },
  { on: PING, expect: { authorization: `Basic ${AUTH}` }, body: '{}' },
];
const fromStdin: LoginFlags = { username: 'pilot', passwordStdin: true };

let dir = '';
let file = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'login-'));
  file = join(dir, '.docker/config.json');
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

interface Run {
  readonly context: CommandContext;
  readonly around: FakeSurroundings;
}

function runWith(flags: GlobalFlags = {}, stdin = `${PASSWORD}\n`): Run {
  const around = fakeSurroundings({
    env: { HOME: dir, PATH: `${dir}:/usr/bin:/bin` },
    stdin,
  });
  const settings = resolveSettings({ plainHttp: true, logLevel: 'debug', ...flags }, around);
  const log = new Log(settings.logLevel, (text) => around.stderr.write(text));
  return { around, context: { ...around, settings, log, signal: new AbortController().signal } };
}

const stored = async (path = file): Promise<unknown> => JSON.parse(await readFile(path, 'utf8')) as unknown;

async function configure(document: object): Promise<void> {
  await mkdir(join(dir, '.docker'));
  await writeFile(file, JSON.stringify(document));
}

describe('login', () => {
  test('keeps what the registry takes in docker’s file, with a warning', async () => {
    await using registry = await ScriptedRegistry.start(taken);
    const { context, around } = runWith();
    expect(await loginCommand(registry.address, fromStdin, context)).toBe(0);
    expect(await stored()).toEqual({ auths: { [registry.address]: { auth: AUTH } } });
    expect(around.stdout.text).toBe(`logged in to ${registry.address} as pilot (kept in ${file})\n`);
    expect(around.stderr.text).toContain(`warning: the password is stored unencrypted in ${file};`);
  });

  test('keeps it in the file that is named', async () => {
    await using registry = await ScriptedRegistry.start(taken);
    const authfile = join(dir, 'auth.json');
    await loginCommand(registry.address, fromStdin, runWith({ authfile }).context);
    expect(await stored(authfile)).toEqual({ auths: { [registry.address]: { auth: AUTH } } });
    await expect(stat(file)).rejects.toThrow('ENOENT');
  });

  test('gives it to the helper that is configured, without a warning', async () => {
    await using registry = await ScriptedRegistry.start(taken);
    const { kept } = await placeKeepingHelper(dir, 'keeping');
    await configure({ credsStore: 'keeping' });
    const { context, around } = runWith();
    await loginCommand(registry.address, fromStdin, context);
    expect(around.stdout.text).toContain('as pilot (kept by docker-credential-keeping)\n');
    expect(around.stderr.text).not.toContain('warning');
    expect(JSON.parse(await kept())).toMatchObject({ Username: 'pilot', Secret: PASSWORD });
  });

  test('is for a path of a registry too', async () => {
    await using registry = await ScriptedRegistry.start(taken);
    await loginCommand(`http://${registry.address}/team`, fromStdin, runWith().context);
    expect(await stored()).toEqual({ auths: { [`${registry.address}/team`]: { auth: AUTH } } });
  });

  test('says where nobody is asked, and keeps it all the same', async () => {
    await using registry = await ScriptedRegistry.start([{ on: PING, body: '{}' }]);
    const { context, around } = runWith();
    await loginCommand(registry.address, fromStdin, context);
    expect(around.stderr.text).toContain(
      `warning: ${registry.address} asks for no credentials; they are stored unchecked\n`,
    );
    expect(await stored()).toEqual({ auths: { [registry.address]: { auth: AUTH } } });
  });

  test.each<[string, string | undefined, object]>([
    ['a file', undefined, { stored: 'file' }],
    ['a helper', 'keeping', { stored: 'helper', helper: 'docker-credential-keeping' }],
  ])('answers a program where it is kept: %s', async (_, helper, expected) => {
    await using registry = await ScriptedRegistry.start(taken);
    await placeKeepingHelper(dir, 'keeping');
    if (helper !== undefined) await configure({ credsStore: helper });
    const { context, around } = runWith({ output: 'json' });
    await loginCommand(registry.address, fromStdin, context);
    expect(JSON.parse(around.stdout.text)).toEqual({
      registry: registry.address,
      username: 'pilot',
      ...(helper === undefined ? { path: file } : {}),
      ...expected,
    });
  });

  test('with wrong credentials keeps nothing, and ends with 4', async () => {
    await using registry = await ScriptedRegistry.start([{ on: PING, times: 2, ...challenge }]);
    const { context } = runWith();
    const error = await failure(loginCommand(registry.address, fromStdin, context));
    expect([error.code, exitCodeOf(error)]).toEqual(['UNAUTHORIZED', 4]);
    await expect(stat(join(dir, '.docker'))).rejects.toThrow('ENOENT');
  });

  test('tells the password to nobody but the registry and the store', async () => {
    await using registry = await ScriptedRegistry.start(taken);
    await placeHelper(dir, 'failing', 'cat; cat >&2; exit 1');
    await configure({ credsStore: 'failing' });
    const { context, around } = runWith();
    const error = await failure(loginCommand(registry.address, fromStdin, context));
    expect(error.code).toBe('INVALID_CONFIG');
    const reported = around.stdout.text + around.stderr.text + JSON.stringify(error) + String(error.stack);
    expect(reported).toContain(`GET http://${registry.address}/v2/ 200`);
    expect(reported).not.toContain(PASSWORD);
    expect(reported).not.toContain(AUTH);
  });
});

describe('login at a terminal', () => {
  function terminal(typed: string): Run & { readonly modes: boolean[] } {
    const modes: boolean[] = [];
    const stdin = Object.assign(new PassThrough(), {
      isTTY: true,
      setRawMode: (on: boolean): void => void modes.push(on),
    });
    stdin.write(typed);
    const { context, around } = runWith();
    return { around, context: { ...context, stdin }, modes };
  }

  test('asks for the user, and for the password without showing it', async () => {
    await using registry = await ScriptedRegistry.start(taken);
    const { context, around, modes } = terminal(`pilot\n${PASSWORD}\r`);
    await loginCommand(registry.address, {}, context);
    expect(around.stderr.text).toContain(
      `Username for ${registry.address}: Password of pilot for ${registry.address}: \n`,
    );
    expect(modes).toEqual([true, false]);
    expect(await stored()).toEqual({ auths: { [registry.address]: { auth: AUTH } } });
    expect(around.stderr.text + around.stdout.text).not.toContain(PASSWORD);
  });

  test('asks only for what is not given', async () => {
    await using registry = await ScriptedRegistry.start(taken);
    const { context, around } = terminal(`${PASSWORD}\r`);
    await loginCommand(registry.address, { username: 'pilot' }, context);
    expect(around.stderr.text).not.toContain('Username');
  });

  test('does not read a password from it that would be shown', async () => {
    const { context } = terminal('');
    expect((await failure(loginCommand('quay.io', fromStdin, context))).message).toContain(
      '--password-stdin',
    );
  });
});

describe('login is refused before anybody is asked', () => {
  test.each<[string, string, LoginFlags, GlobalFlags, string, string]>([
    [
      'for what is no registry',
      'harbour',
      fromStdin,
      {},
      PASSWORD,
      '"harbour" is not the address of a registry',
    ],
    ['without a user', 'quay.io', { passwordStdin: true }, {}, PASSWORD, 'the user to log in is not named'],
    ['with an empty user', 'quay.io', { username: '' }, {}, PASSWORD, '--username is not the name of a user'],
    [
      'with a password in the user’s place',
      'quay.io',
      { username: `pilot:${PASSWORD}` },
      {},
      PASSWORD,
      '--username is not the name of a user',
    ],
    [
      'without a terminal or --password-stdin',
      'quay.io',
      { username: 'pilot' },
      {},
      PASSWORD,
      'there is no terminal to ask for the password',
    ],
    [
      'with nothing on standard input',
      'quay.io',
      fromStdin,
      {},
      '',
      'standard input does not hold the password for --password-stdin',
    ],
    [
      'with --creds',
      'quay.io',
      fromStdin,
      { creds: `pilot:${PASSWORD}` },
      PASSWORD,
      '--creds is for one command; login stores credentials',
    ],
  ])('%s', async (_, host, flags, globals, stdin, message) => {
    const error = await failure(loginCommand(host, flags, runWith(globals, stdin).context));
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', message });
  });
});
