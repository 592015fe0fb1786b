import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';

import { createProgram } from '../../../src/cli/program.js';
import { variablesOf } from '../../../src/cli/config/configuration.js';
import { keyOf, refusalOf } from '../../../src/cli/config/settings.js';
import type { SettingInfo } from '../../../src/cli/commands/config.js';
import { Configured } from './configured.js';

/** One value for each origin: as it is written there, and as `landfall config` tells it. */
interface Row {
  readonly key: string;
  /** In a file, where its own is not its key: `unpack-limit.layers`. */
  readonly variable: string;
  readonly system: readonly [toml: string, reported: unknown];
  readonly user: readonly [toml: string, reported: unknown];
  readonly environment: readonly [text: string, reported: unknown];
  readonly option: readonly [argv: readonly string[], reported: unknown];
}

const path = (
  key: string,
  { variable = `LANDFALL_${key.toUpperCase().replaceAll('-', '_')}` } = {},
): Row => ({
  key,
  variable,
  system: ['"/system"', '/system'],
  user: ['"/user"', '/user'],
  environment: ['/environment', '/environment'],
  option: [[`--${key}`, '/option'], '/option'],
});

const paths = (key: string, variable: string): Row => ({
  key,
  variable,
  system: ['["/system", "/etc"]', ['/system', '/etc']],
  user: ['["/user"]', ['/user']],
  environment: ['/environment:/other:', ['/environment', '/other']],
  option: [
    [`--${key}`, '/option', `--${key}`, '/another'],
    ['/option', '/another'],
  ],
});

const onOrOff = (key: string, variable: string): Row => ({
  key,
  variable,
  system: ['true', true],
  user: ['false', false],
  environment: ['1', true],
  option: [[`--${key}=false`], false],
});

const number = (key: string, variable: string): Row => ({
  key,
  variable,
  system: ['1', 1],
  user: ['2', 2],
  environment: ['3', 3],
  option: [[`--${key}`, '4'], 4],
});

const word = (
  key: string,
  variable: string,
  [a, b, c, d]: readonly [string, string, string, string],
): Row => ({
  key,
  variable,
  system: [JSON.stringify(a), a],
  user: [JSON.stringify(b), b],
  environment: [c, c],
  option: [[`--${key}`, d], d],
});

const ROWS: readonly Row[] = [
  path('root'),
  paths('additional-root', 'LANDFALL_ADDITIONAL_ROOTS'),
  word('snapshots', 'LANDFALL_SNAPSHOTS', ['overlay', 'native', 'overlay', 'native']),
  paths('hosts-dir', 'LANDFALL_HOSTS_DIR'),
  onOrOff('plain-http', 'LANDFALL_PLAIN_HTTP'),
  onOrOff('insecure', 'LANDFALL_INSECURE'),
  onOrOff('foreign-urls', 'LANDFALL_FOREIGN_URLS'),
  path('ca'),
  path('authfile'),
  path('authfile', { variable: 'REGISTRY_AUTH_FILE' }),
  path('policy'),
  number('concurrency', 'LANDFALL_CONCURRENCY'),
  {
    key: 'limit-rate',
    variable: 'LANDFALL_LIMIT_RATE',
    system: ['"1K"', 1024],
    user: ['2048', 2048],
    environment: ['3K', 3072],
    option: [['--limit-rate', '4K'], 4096],
  },
  number('max-retry-after', 'LANDFALL_MAX_RETRY_AFTER'),
  {
    key: 'unpack-limit.layers',
    variable: 'LANDFALL_UNPACK_LIMIT',
    system: ['1', 1],
    user: ['"2K"', 2048],
    environment: ['path-depth=7,layers=3', 3],
    option: [['--unpack-limit', 'layers=4'], 4],
  },
  word('inflate', 'LANDFALL_INFLATE', ['zlib', 'isa-l', 'auto', 'zlib']),
  word('progress', 'LANDFALL_PROGRESS', ['none', 'plain', 'json', 'auto']),
  word('log-level', 'LANDFALL_LOG_LEVEL', ['error', 'warn', 'debug', 'error']),
  word('log-format', 'LANDFALL_LOG_FORMAT', ['json', 'text', 'json', 'text']),
];

/** Of `output` nothing can be asked in this way; it has tests of its own below. */
const APART = ['output', 'creds', 'config', 'help', 'version'];

test('there is a row for each global option', () => {
  const program = createProgram(() => Promise.resolve());
  const keys = program.options.map(keyOf).filter((key) => !APART.includes(key));
  expect([...new Set(ROWS.map(({ key }) => key.split('.')[0]))]).toEqual(keys);
  for (const option of program.options.filter((one) => refusalOf('', one) === undefined)) {
    const named = ROWS.filter(({ key }) => key.split('.')[0] === keyOf(option)).map(
      ({ variable }) => variable,
    );
    if (!APART.includes(keyOf(option))) expect(named).toEqual(variablesOf(option));
  }
});

describe.each(ROWS)('$key ($variable)', ({ key, variable, system, user, environment, option }) => {
  const reported = async (
    files: { readonly system?: string; readonly user?: string },
    argv: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<SettingInfo> => {
    await using configured = await Configured.make(files);
    const setting = await configured.setting(key, argv, env);
    // Relative to the home of this very test.
    return setting.file === undefined
      ? setting
      : { ...setting, file: relative(configured.home, setting.file) };
  };
  const line = (toml: string): string => `\n${key} = ${toml}\n`;
  const both = { system: line(system[0]), user: line(user[0]) };
  const SYSTEM = { from: 'file', scope: 'system', file: 'etc/config.toml', line: 2 };
  const USER = { from: 'file', scope: 'user', file: '.config/landfall/config.toml', line: 2 };

  test('has a default', async () => {
    expect(await reported({})).toMatchObject({ key, from: 'default' });
  });

  test("the system's file counts more", async () => {
    expect(await reported({ system: both.system })).toEqual({ key, value: system[1], ...SYSTEM });
  });

  test("the user's file counts more", async () => {
    expect(await reported(both)).toEqual({ key, value: user[1], ...USER });
  });

  test('the environment counts more', async () => {
    const setting = await reported(both, [], { [variable]: environment[0] });
    expect(setting).toEqual({ key, value: environment[1], from: 'environment', variable });
  });

  test('a variable that is empty is unset', async () => {
    expect(await reported(both, [], { [variable]: '' })).toEqual({ key, value: user[1], ...USER });
  });

  test('the option counts most', async () => {
    const setting = await reported(both, option[0], { [variable]: environment[0] });
    const flag = `--${key.split('.')[0] ?? ''}`;
    expect(setting).toEqual({ key, value: option[1], from: 'option', option: flag });
  });
});

describe('output', () => {
  const isJson = (text: string): boolean => text.startsWith('{');
  test.each<[string, { system?: string; user?: string }, string[], Record<string, string>, boolean]>([
    ['is text by default', {}, [], {}, false],
    ["the system's file", { system: 'output = "json"' }, [], {}, true],
    ["the user's file", { system: 'output = "json"', user: 'output = "text"' }, [], {}, false],
    ['the environment', { user: 'output = "text"' }, [], { LANDFALL_OUTPUT: 'json' }, true],
    ['the option', { user: 'output = "json"' }, ['--output', 'text'], { LANDFALL_OUTPUT: 'json' }, false],
  ])('%s', async (_, files, argv, env, expected) => {
    await using configured = await Configured.make(files);
    const { out } = await configured.run(['config', ...argv], env);
    expect(isJson(out)).toBe(expected);
    // Also where the line is wrong, and the parser stops before anything else is looked at.
    const { code, err } = await configured.run(['confg', ...argv], env);
    expect(code).toBe(2);
    expect(isJson(err)).toBe(expected);
  });
});

describe('which files', () => {
  const files = { system: 'concurrency = 1\nmax-retry-after = 1', user: 'concurrency = 2' };

  test("each key by itself: what the user's does not say, the system's does", async () => {
    await using configured = await Configured.make(files);
    expect(await configured.setting('concurrency')).toMatchObject({ value: 2, scope: 'user' });
    expect(await configured.setting('max-retry-after')).toMatchObject({ value: 1, scope: 'system' });
  });

  test.each<[string, string[], Record<string, string>]>([
    ['--config', ['--config', 'HOME/named.toml'], { LANDFALL_CONFIG: '/nonexistent' }],
    ['--config after the command', ['config', '--config=HOME/named.toml'], {}],
    ['LANDFALL_CONFIG', [], { LANDFALL_CONFIG: 'HOME/named.toml' }],
  ])('%s is in place of both', async (_, argv, env) => {
    await using configured = await Configured.make(files);
    const named = join(configured.home, 'named.toml');
    await configured.write(named, 'max-retry-after = 9');
    const at = (text: string): string => text.replace('HOME', configured.home);
    const command = argv.includes('config') ? [] : ['config'];
    const { out } = await configured.run(
      [...argv.map(at), ...command, 'concurrency', 'max-retry-after', '--output', 'json'],
      Object.fromEntries(Object.entries(env).map(([name, value]) => [name, at(value)])),
    );
    expect(JSON.parse(out)).toMatchObject({
      files: [{ path: named, scope: 'named', state: 'read' }],
      settings: [
        { key: 'concurrency', from: 'default' },
        { key: 'max-retry-after', value: 9, from: 'file', scope: 'named', file: named, line: 1 },
      ],
    });
  });

  test('/dev/null is none', async () => {
    await using configured = await Configured.make(files);
    expect(await configured.setting('concurrency', ['--config', '/dev/null'])).toMatchObject({
      from: 'default',
    });
  });

  test('$XDG_CONFIG_HOME is where the user has theirs', async () => {
    await using configured = await Configured.make(files);
    const xdg = join(configured.home, 'xdg');
    await configured.write(join(xdg, 'landfall/config.toml'), 'concurrency = 7');
    expect(await configured.setting('concurrency', [], { XDG_CONFIG_HOME: xdg })).toMatchObject({ value: 7 });
    expect(await configured.setting('concurrency', [], { XDG_CONFIG_HOME: '' })).toMatchObject({ value: 2 });
  });
});

describe('limits', () => {
  test('each counts by itself, whatever it comes from', async () => {
    await using configured = await Configured.make({
      system: 'unpack-limit = { layers = 1, path-depth = 1, pax-bytes = 1 }',
      user: '[unpack-limit]\npath-depth = 2\nlink-bytes = "2K"',
    });
    const argv = ['--unpack-limit', 'layer-bytes=1T', 'config', 'unpack-limit', '--output', 'json'];
    const { out } = await configured.run(argv, { LANDFALL_UNPACK_LIMIT: 'pax-bytes=3,xattr-bytes=3' });
    const { settings } = JSON.parse(out) as { settings: SettingInfo[] };
    const set = settings.filter(({ from }) => from !== 'default');
    expect(set.map(({ key, value, scope, from }) => [key, value, scope ?? from])).toEqual([
      ['unpack-limit.layers', 1, 'system'],
      ['unpack-limit.layer-bytes', 1024 ** 4, 'option'],
      ['unpack-limit.path-depth', 2, 'user'],
      ['unpack-limit.link-bytes', 2048, 'user'],
      ['unpack-limit.pax-bytes', 3, 'environment'],
      ['unpack-limit.xattr-bytes', 3, 'environment'],
    ]);
  });
});

describe('a wrong variable', () => {
  test.each([
    ['LANDFALL_SNAPSHOTS', 'zfs', 'Set it to overlay or native, or unset it.'],
    ['LANDFALL_INFLATE', 'fast', 'Set it to auto or zlib or isa-l, or unset it.'],
    ['LANDFALL_PLAIN_HTTP', 'maybe', 'Set it to true or false, or unset it.'],
    ['LANDFALL_CONCURRENCY', '0', 'It is not a positive whole number. Set it otherwise, or unset it.'],
    [
      'LANDFALL_UNPACK_LIMIT',
      'layers=none',
      expect.stringMatching(/^Write NAME=NUMBER.* Set it otherwise, or unset it\.$/) as string,
    ],
  ])('%s=%s', async (variable, value, hint) => {
    await using configured = await Configured.make();
    const { code, err } = await configured.run(['images', '--output', 'json'], { [variable]: value });
    expect(code).toBe(2);
    const message = `${variable} is ${value}`;
    expect(JSON.parse(err)).toMatchObject({ code: 'INVALID_CONFIG', message, hint, details: { variable } });
  });

  test('is none where the option is typed', async () => {
    await using configured = await Configured.make();
    const setting = await configured.setting('snapshots', ['--snapshots', 'native'], {
      LANDFALL_SNAPSHOTS: 'zfs',
    });
    expect(setting).toMatchObject({ value: 'native', from: 'option' });
  });
});
