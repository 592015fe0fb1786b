import { execFileSync, spawnSync } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

import { keyOf, kindOf, REFUSED_OPTIONS } from '../../../src/cli/config/settings.js';
import { configTemplate } from '../../../src/cli/commands/config.js';
import { configKeys } from '../../../src/cli/config/config-file.js';
import { createProgram } from '../../../src/cli/program.js';
import { secret } from '../../support/secrets.js';
import { Configured } from './configured.js';

const RIGHT = '`landfall config --template` shows the right form.';
const ALL = '`landfall config --template` shows all keys.';
const NOT_A_PASSWORD = 'Log in with `landfall login`, or name a file of credentials: authfile = "FILE".';
const TYPE_IT = 'Give it on the command line.';
const ONE_RUN = 'says what one run reads, writes or does in place of its usual work';

/** The text of a file, and of the error: where, what and what to do. */
type Fault = readonly [name: string, toml: string, place: string, message: string, hint: string];

const FAULTS: readonly Fault[] = [
  [
    'a mistyped key',
    'concurency = 4',
    ':1',
    'concurency is no key that landfall knows',
    `Did you mean concurrency? Else ${ALL}`,
  ],
  ['an unknown key', 'root = "/r"\nxyzzy = 4', ':2', 'xyzzy is no key that landfall knows', ALL],
  [
    'an unknown key that a terminal should not see',
    '"x\\u001b[2J" = 1',
    ':1',
    '"x\\u001b[2J" is no key that landfall knows',
    ALL,
  ],
  [
    'a mistyped table',
    '[pul]\nsync = "none"',
    ':1',
    'pul is no key that landfall knows',
    `Did you mean pull? Else ${ALL}`,
  ],
  [
    'a mistyped key of a table',
    '[pull]\nplatfrom = "x"',
    ':2',
    'pull.platfrom is no key that landfall knows',
    `Did you mean platform? Else ${ALL}`,
  ],
  [
    'a global key in a table',
    '[pull]\nquiet = true\nroot = "/r"',
    ':3',
    'pull.root is no key that landfall knows',
    'It is a key of the global options: write it above the first [table].',
  ],
  [
    "a command's key outside of its table",
    'unused-for = "30d"',
    ':1',
    'unused-for is no key that landfall knows',
    "It is a key of a command's table: write it below [gc].",
  ],
  [
    'a key of many commands outside of their tables',
    'platform = "x"',
    ':1',
    'platform is no key that landfall knows',
    "It is a key of a command's table: write it below [pull], [inspect], [tree] ….",
  ],
  [
    'a negation',
    '[pull]\nno-unpack = true',
    ':2',
    'pull.no-unpack is no key that landfall knows',
    'Write unpack = false.',
  ],
  [
    'a command that is no table',
    'pull = true',
    ':1',
    'pull is a command, whose options stand in a table',
    'Write them below a line [pull].',
  ],
  [
    'a number that is none',
    'concurrency = "many"',
    ':1',
    'concurrency is "many"',
    `It is not a positive whole number. ${RIGHT}`,
  ],
  [
    'a number out of range',
    '\n\nconcurrency = 0',
    ':3',
    'concurrency is "0"',
    `It is not a positive whole number. ${RIGHT}`,
  ],
  [
    'a number of another kind',
    'concurrency = true',
    ':1',
    'concurrency is neither a number nor a string such as "10M"',
    RIGHT,
  ],
  [
    'a rate that is none',
    'limit-rate = "fast"',
    ':1',
    'limit-rate is "fast"',
    `It is not a number of bytes, such as 500K or 10M. ${RIGHT}`,
  ],
  [
    'a word that is not offered',
    'output = "yaml"',
    ':1',
    'output is "yaml"',
    `Allowed choices are text, json. ${RIGHT}`,
  ],
  ['several words for one', 'snapshots = ["native"]', ':1', 'snapshots is not a string', RIGHT],
  [
    'a word in a table',
    '[daemon]\nsync = "some"',
    ':2',
    'daemon.sync is "some"',
    `Allowed choices are full, blobs, none. ${RIGHT}`,
  ],
  ['a switch that is text', 'plain-http = "true"', ':1', 'plain-http is neither true nor false', RIGHT],
  ['a path that is a number', 'root = 12', ':1', 'root is not a string', RIGHT],
  ['a path that is empty', 'root = ""', ':1', 'root is empty', RIGHT],
  [
    'a list with something else in it',
    'hosts-dir = ["a", 1]',
    ':1',
    'hosts-dir is not a list of strings',
    RIGHT,
  ],
  ['a date', 'ca = 2026-01-01', ':1', 'ca is not a string', RIGHT],
  ['limits that are no table', 'unpack-limit = 5', ':1', 'unpack-limit is not a table of numbers', RIGHT],
  [
    'a mistyped limit',
    '[unpack-limit]\nlayer-byte = 1',
    ':2',
    'unpack-limit.layer-byte is no key that landfall knows',
    'Did you mean layer-bytes?',
  ],
  [
    'a limit that is none',
    '[unpack-limit]\nlayers = 0',
    ':2',
    'unpack-limit.layers is "0"',
    `It is not a positive whole number, such as 1000 or 20G. ${RIGHT}`,
  ],
  [
    'a limit of another kind',
    '[unpack-limit]\nlayers = [1]',
    ':2',
    'unpack-limit.layers is neither a number nor a string such as "10M"',
    RIGHT,
  ],
  [
    'credentials',
    `creds = "u:${secret('config-creds')}"`,
    ':1',
    'creds is a password, which belongs into no configuration',
    NOT_A_PASSWORD,
  ],
  [
    'credentials of one side',
    `[copy]\ndest-creds = "u:${secret('config-dest-creds')}"`,
    ':2',
    'copy.dest-creds is a password, which belongs into no configuration',
    NOT_A_PASSWORD,
  ],
  [
    'another file',
    'config = "x"',
    ':1',
    'config names the file that is read in place of this one',
    'Give --config on the command line, or set LANDFALL_CONFIG.',
  ],
  ['what answers by itself', 'version = true', ':1', 'version answers by itself', 'Take it out.'],
  [
    'what has things deleted',
    '[sync]\nprune = true',
    ':2',
    'sync.prune has things deleted or changed that a run without it leaves alone',
    'Give it on the command line, each time.',
  ],
  ['what a command cannot do without', '[save]\nfile = "x"', ':2', `save.file ${ONE_RUN}`, TYPE_IT],
  ['what one run does', '[inspect]\nconfig = true', ':2', `inspect.config ${ONE_RUN}`, TYPE_IT],
  [
    'no TOML',
    'root = "/r"\nx = = 1',
    ':2:5',
    'not TOML: invalid value',
    'Mend the file; `landfall config --template` shows one that is right.',
  ],
  [
    'a number that is not exact',
    'concurrency = 9007199254740993',
    ':1:15',
    'not TOML: integer value cannot be represented losslessly',
    'Mend the file; `landfall config --template` shows one that is right.',
  ],
];

test.each(FAULTS)('%s', async (_, toml, place, message, hint) => {
  await using configured = await Configured.make({ user: toml });
  const { code, out, err } = await configured.run(['images']);
  const said = `landfall: ${configured.user}${place}: ${message}`;
  expect({ code, out }).toEqual({ code: 2, out: '' });
  const lines = err.trimEnd().split('\n');
  // What the parser of TOML goes on to say is its own.
  if (message.startsWith('not TOML')) expect(lines[0]).toContain(said);
  else expect(lines[0]).toBe(said);
  expect(lines.slice(1)).toEqual([`  hint: ${hint}`]);
});

describe('for programs', () => {
  test('a fault is an object with the place as data', async () => {
    await using configured = await Configured.make({ user: '\n[pull]\nplatfrom = "x"' });
    const { code, err } = await configured.run(['images', '--output', 'json']);
    expect(code).toBe(2);
    expect(JSON.parse(err)).toEqual({
      code: 'INVALID_CONFIG',
      message: `${configured.user}:3: pull.platfrom is no key that landfall knows`,
      hint: `Did you mean platform? Else ${ALL}`,
      details: { file: configured.user, line: 3, key: 'pull.platfrom' },
      retryable: false,
    });
  });

  test('and one of the syntax has its column', async () => {
    await using configured = await Configured.make({ user: 'output = "json"', system: 'a = 1\nb' });
    const { err } = await configured.run(['images']);
    // What is right counts: the user wants JSON.
    expect(JSON.parse(err)).toMatchObject({ details: { file: configured.system, line: 2, column: 1 } });
  });
});

describe('files that cannot be read', () => {
  const HINT = 'Mend the file, name another one with --config, or none with --config /dev/null.';

  test.each([
    ['one that is named and not there', ['--config', 'HOME/no.toml'], {}, 'HOME/no.toml is not there'],
    [
      'one that a variable names',
      [],
      { LANDFALL_CONFIG: 'HOME/no.toml' },
      'HOME/no.toml is not there (--config comes from $LANDFALL_CONFIG)',
    ],
    ['a directory', ['--config', 'HOME'], {}, 'HOME is no regular file'],
    // It has no end.
    ['a device', ['--config', '/dev/zero'], {}, '/dev/zero is no regular file'],
    // More than Node reads at once.
    ['a huge one', ['--config', 'HOME/huge'], {}, 'HOME/huge has more than 65.5 kB'],
  ])('%s', async (_, argv, env, expected) => {
    await using configured = await Configured.make();
    await configured.write(join(configured.home, 'huge'), '');
    await truncate(join(configured.home, 'huge'), 3 * 1024 ** 3);
    const at = (text: string): string => text.replace('HOME', configured.home);
    const variables = Object.entries(env).map(([name, value]) => [name, at(value)] as const);
    const { code, err } = await configured.run([...argv.map(at), 'images'], Object.fromEntries(variables));
    expect(code).toBe(2);
    const lines = err.trimEnd().split('\n');
    expect(lines[0]).toBe(`landfall: the configuration file ${at(expected)}`);
    expect(lines.at(-1)).toBe(`  hint: ${HINT}`);
    expect(lines.length).toBeLessThanOrEqual(3);
  });

  test('a pipe that nobody writes to', async () => {
    await using configured = await Configured.make();
    const pipe = join(configured.home, 'pipe');
    execFileSync('mkfifo', [pipe]);
    // In a process of its own, which it would keep from hearing anything but SIGKILL.
    const { status, stderr } = spawnSync(
      process.execPath,
      ['dist/bin/landfall.js', '--config', pipe, 'images'],
      {
        encoding: 'utf8',
        timeout: 20_000,
        killSignal: 'SIGKILL',
      },
    );
    expect(stderr).toContain(`the configuration file ${pipe} is no regular file`);
    expect(status).toBe(2);
  });

  test('an empty name', async () => {
    await using configured = await Configured.make();
    const { code, err } = await configured.run(['--config=', 'images']);
    expect({ code, err }).toEqual({
      code: 2,
      err: 'landfall: the name of the configuration file is empty\n  hint: Name a file with --config, or /dev/null for none.\n',
    });
  });

  test.each([
    ['what is not UTF-8', Buffer.from([0x61, 0xff]), 'is not UTF-8'],
    ['what is far too long', Buffer.alloc(64 * 1024 + 1, '#'), 'has more than 65.5 kB'],
  ])('%s', async (_, bytes, expected) => {
    await using configured = await Configured.make({ user: '' });
    await writeFile(configured.user, bytes);
    const { code, err } = await configured.run(['images']);
    expect(code).toBe(2);
    expect(err).toBe(`landfall: the configuration file ${configured.user} ${expected}\n  hint: ${HINT}\n`);
  });
});

describe('paths', () => {
  test.each([
    ['are relative to the file', '"store"', (etc: string) => join(etc, 'store')],
    ['also upwards', '"../store"', (etc: string) => join(etc, '../store')],
    ['or absolute', '"/srv/store"', () => '/srv/store'],
    ['or below the home directory', '"~/store"', (_: string, home: string) => join(home, 'store')],
    ['which may be all of it', '"~"', (_: string, home: string) => home],
    ['but never below that of another', '"~root/store"', (etc: string) => join(etc, '~root/store')],
  ])('%s', async (_, toml, expected) => {
    await using configured = await Configured.make({ system: `root = ${toml}\nhosts-dir = [${toml}]` });
    const value = expected(dirname(configured.system), configured.home);
    expect(await configured.setting('root')).toMatchObject({ value });
    expect(await configured.setting('hosts-dir')).toMatchObject({ value: [value] });
  });

  test('typed or in the environment they are relative to the working directory', async () => {
    await using configured = await Configured.make();
    expect(await configured.setting('root', ['--root', 'store'])).toMatchObject({ value: resolve('store') });
    expect(await configured.setting('root', [], { LANDFALL_ROOT: 'store' })).toMatchObject({
      value: resolve('store'),
    });
  });
});

describe('values', () => {
  test('a password before a registry is not shown', async () => {
    const password = secret('config-upstream');
    await using configured = await Configured.make({
      user: `[serve]\nupstream = ["me:${password}@quay.io"]\n`,
    });
    const { out } = await configured.run(['config', 'serve.upstream']);
    expect(out).toContain('***@quay.io');
    expect(out).not.toContain(password);
  });

  test.each([
    ['one string for a list', 'hosts-dir = "/a"', 'hosts-dir', ['/a']],
    ['an empty list', 'hosts-dir = []', 'hosts-dir', []],
    ['a number as text', 'concurrency = "3"', 'concurrency', 3],
    ['a negated option', '[pull]\nunpack = false', 'pull.unpack', false],
    [
      'a list of a command',
      '[serve]\nupstream = ["quay.io", "docker.io"]',
      'serve.upstream',
      ['quay.io', 'docker.io'],
    ],
    ['a size of a command', '[serve]\nmax-upload-size = "1M"', 'serve.max-upload-size', 1024 ** 2],
    [
      'platforms',
      '[copy]\nplatform = ["linux/amd64,linux/arm64"]',
      'copy.platform',
      ['linux/amd64', 'linux/arm64'],
    ],
    ['a table in one line', 'pull = { sync = "none" }', 'pull.sync', 'none'],
  ])('%s', async (_, user, key, value) => {
    await using configured = await Configured.make({ user });
    expect(await configured.setting(key)).toMatchObject({ key, value, from: 'file' });
  });

  test('a file of nothing says nothing', async () => {
    await using configured = await Configured.make({ user: '# nothing\n', system: '' });
    expect(await configured.setting('concurrency')).toMatchObject({ from: 'default' });
  });
});

describe('every option', () => {
  const program = createProgram(() => Promise.resolve());

  test('that is refused is there', () => {
    for (const [command, refused] of Object.entries(REFUSED_OPTIONS)) {
      const owner = command === '' ? program : program.commands.find((one) => one.name() === command);
      const keys = [...(owner?.options ?? []).map(keyOf)];
      expect(keys, command).toEqual(expect.arrayContaining(Object.keys(refused)));
    }
  });

  test('of which a name says that it is secret is refused', () => {
    for (const command of [program, ...program.commands]) {
      expect(configKeys(program, command).filter((key) => /creds|password|token|username/.test(key))).toEqual(
        [],
      );
    }
  });

  test('is called as no command', () => {
    const names = program.commands.map((command) => command.name());
    expect(configKeys(program, program).filter((key) => names.includes(key))).toEqual([]);
  });

  test('that has a parser of its own has a kind that is known', () => {
    const parsed = [program, ...program.commands].flatMap(({ options }) =>
      options.filter(({ parseArg, argChoices }) => parseArg !== undefined && argChoices === undefined),
    );
    expect(parsed.length).toBeGreaterThan(20);
    expect(parsed.filter((option) => kindOf(option) === 'text').map(keyOf)).toEqual([]);
  });

  test('takes a value of the kind that its parser makes', () => {
    const kinds = program.options.map((option) => `${keyOf(option)} ${kindOf(option)}`);
    expect(kinds).toEqual(
      expect.arrayContaining([
        'additional-root list',
        'plain-http switch',
        'snapshots choice',
        'concurrency number',
        'limit-rate number',
        'unpack-limit table',
        'policy text',
      ]),
    );
  });

  test('is in the template, with a value that is right', async () => {
    const template = configTemplate(program);
    // As it is, it says nothing.
    await using silent = await Configured.make({ user: template });
    expect(await silent.run(['config', '-q', 'concurrency'])).toMatchObject({ code: 0, err: '' });
    const files = await silent.run(['config', '--output', 'json']);
    expect(files.out).not.toContain('"from": "file"');
    // And with every sign of a comment taken from a key or a table, everything.
    await using full = await Configured.make({ user: template.replace(/^#(?=[a-z[])/gm, '') });
    const { code, out, err } = await full.run(['config', '--output', 'json', '--log-level', 'info']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const { settings } = JSON.parse(out) as { settings: { key: string; from: string }[] };
    const set = new Set(settings.filter(({ from }) => from === 'file').map(({ key }) => key));
    for (const command of [program, ...program.commands]) {
      const table = command === program ? '' : `${command.name()}.`;
      for (const key of configKeys(program, command)) {
        if (['output', 'log-level', 'unpack-limit'].includes(`${table}${key}`)) continue;
        expect.soft(set, `${table}${key}`).toContain(`${table}${key}`);
      }
    }
    expect(set).toContain('unpack-limit.layer-bytes');
  });
});
