import { expect, test, describe } from 'vitest';

import { secret } from '../../support/secrets.js';
import { Configured } from '../config/configured.js';

describe('landfall config', () => {
  test('shows each setting, its value and where it comes from, aligned', async () => {
    await using configured = await Configured.make({
      system: 'concurrency = 3\nhosts-dir = ["/a", "/b"]\n',
      user: 'limit-rate = "10M"\n\n[pull]\nplatform = "linux/arm64"\n',
    });
    const password = secret('config-command');
    const { code, out, err } = await configured.run(['config', '--ca', '/ca.pem'], {
      LANDFALL_PLAIN_HTTP: 'true',
      LANDFALL_CREDS: `robot:${password}`,
    });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const rows = new Map(
      out
        .trimEnd()
        .split('\n')
        .map((line) => [line.split(/ {2,}/)[0], line.split(/ {2,}/).slice(1)]),
    );
    expect(rows.get('KEY')).toEqual(['VALUE', 'FROM']);
    expect(rows.get('root')).toEqual([`${configured.home}/.local/share/landfall`, 'default']);
    expect(rows.get('hosts-dir')).toEqual(['/a, /b', `${configured.system}:2`]);
    expect(rows.get('plain-http')).toEqual(['true', '$LANDFALL_PLAIN_HTTP']);
    expect(rows.get('ca')).toEqual(['/ca.pem', '--ca']);
    expect(rows.get('creds')).toEqual(['(not shown)', '$LANDFALL_CREDS']);
    expect(rows.get('concurrency')).toEqual(['3', `${configured.system}:1`]);
    expect(rows.get('limit-rate')).toEqual(['10M', `${configured.user}:1`]);
    expect(rows.get('max-retry-after')).toEqual(['120', 'default']);
    expect(rows.get('unpack-limit.layer-bytes')).toEqual(['512G', 'default']);
    expect(rows.get('unpack-limit.path-bytes')).toEqual(['4096', 'default']);
    expect(rows.get('pull.platform')).toEqual(['linux/arm64', `${configured.user}:4`]);
    // Of the commands only what is set.
    expect([...rows.keys()].filter((key) => key?.startsWith('pull.'))).toEqual(['pull.platform']);
    const columns = out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.search(/\S+$/));
    expect(new Set(columns.slice(0, 2)).size).toBe(1);
  });

  test('shows only the keys that are named, and of a table all', async () => {
    await using configured = await Configured.make();
    const { out } = await configured.run(['config', 'gc', 'concurrency', 'gc.dry-run', '--concurrency', '2']);
    const keys = out.split('\n').map((line) => line.split(' ')[0]);
    expect(keys).toEqual([
      'KEY',
      'gc.dry-run',
      'gc.unused-for',
      'gc.partials-older-than',
      'concurrency',
      'gc.dry-run',
      '',
    ]);
    expect(out).toContain('false');
  });

  test('-q prints the values for scripts, of a list one a line, and an empty line for none', async () => {
    await using configured = await Configured.make({ user: 'hosts-dir = ["/a", "/b"]' });
    const { out } = await configured.run(['config', '-q', 'hosts-dir', 'ca', 'plain-http']);
    expect(out).toBe('/a\n/b\n\nfalse\n');
  });

  test('tells which files of credentials and which policy were found', async () => {
    await using configured = await Configured.make();
    const auth = `${configured.home}/.docker/config.json`;
    const policy = `${configured.home}/.config/containers/policy.json`;
    await configured.write(auth, '{}');
    await configured.write(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
    expect(await configured.setting('authfile')).toEqual({
      key: 'authfile',
      value: null,
      from: 'default',
      found: [auth],
    });
    expect(await configured.setting('policy')).toEqual({
      key: 'policy',
      value: null,
      from: 'default',
      found: [policy],
    });
    const { out } = await configured.run(['config', 'policy', 'authfile']);
    expect(out.split('\n').slice(1, 3)).toEqual([
      expect.stringMatching(new RegExp(`^policy +${policy} +found$`)) as string,
      expect.stringMatching(new RegExp(`^authfile +${auth} +found$`)) as string,
    ]);
  });

  test('warns of a variable that stands for nothing', async () => {
    await using configured = await Configured.make();
    const { code, out, err } = await configured.run(['config', 'concurrency'], { LANDFALL_CONCURENCY: '3' });
    expect(code).toBe(0);
    expect(out).toMatch(/^concurrency +\d+ +default$/m);
    expect(err).toBe(
      'landfall: warning: the variable LANDFALL_CONCURENCY stands for no option; did you mean LANDFALL_CONCURRENCY?\n',
    );
  });

  test.each([
    ['concurency', 'Did you mean concurrency? '],
    ['pull.platfrom', 'Did you mean pull.platform? '],
    ['xyzzy', ''],
    ['help', ''],
  ])('refuses a key that there is not: %s', async (key, meant) => {
    await using configured = await Configured.make();
    expect(await configured.run(['config', 'root', key])).toEqual({
      code: 2,
      out: '',
      err: `landfall: there is no key "${key}"\n  hint: ${meant}\`landfall config --template\` shows all keys.\n`,
    });
  });

  test.each([
    [['config', '--files', 'root'], 'KEY and --files exclude each other'],
    [['config', '--files', '--template'], '--files and --template exclude each other'],
    [['config', '-q', '--files'], '--quiet and --files exclude each other'],
  ])('refuses %j', async (argv, message) => {
    await using configured = await Configured.make();
    const { code, err } = await configured.run(argv);
    expect(code).toBe(2);
    expect(err).toContain(`landfall: ${message}\n`);
  });
});

describe('landfall config --files', () => {
  test('shows what is looked for, and what became of it', async () => {
    await using configured = await Configured.make({ user: 'foo = 1' });
    const { code, out, err } = await configured.run(['config', '--files']);
    expect(code).toBe(2);
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ {2,}/)),
    ).toEqual([
      ['FILE', 'WHOSE', 'STATE'],
      [configured.system, "the system's", 'is not there'],
      [configured.user, "the user's", 'cannot be used as it is'],
    ]);
    expect(err).toContain(`${configured.user}:1: foo is no key that landfall knows`);
    const json = await configured.run(['config', '--files', '--output', 'json']);
    expect(JSON.parse(json.out)).toEqual({
      files: [
        { path: configured.system, scope: 'system', state: 'absent' },
        { path: configured.user, scope: 'user', state: 'faulty' },
      ],
    });
  });
});

describe('where files and variables are wrong', () => {
  test('shows what holds all the same, and every fault', async () => {
    await using configured = await Configured.make({
      system: 'concurrency = 3\ncolour = true',
      user: 'snapshots = "zfs"\ninsecure = true',
    });
    const { code, out, err } = await configured.run(['config', 'concurrency', 'insecure', 'snapshots'], {
      LANDFALL_INFLATE: 'fast',
    });
    expect(code).toBe(2);
    const rows = out
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(rows.slice(1)).toEqual([
      ['concurrency', '3', `${configured.system}:1`],
      ['insecure', 'true', `${configured.user}:2`],
      ['snapshots', expect.stringMatching(/^(?:overlay|native)$/) as string, 'default'],
    ]);
    expect(err.split('\n').filter((line) => line.startsWith('landfall: '))).toEqual([
      'landfall: LANDFALL_INFLATE is fast',
      `landfall: ${configured.system}:2: colour is no key that landfall knows`,
      `landfall: ${configured.user}:1: snapshots is "zfs"`,
    ]);
  });

  test.each([
    [['--help'], 'Usage: landfall'],
    [['pull', '--help'], 'Usage: landfall pull'],
    [['help', 'gc'], 'Usage: landfall gc'],
    [['--version'], 'landfall '],
    [['completion', 'bash'], 'landfall'],
    [['config', '--template'], '#root = '],
  ])('%j answers', async (argv, expected) => {
    await using configured = await Configured.make({ user: 'not toml', system: 'not toml' });
    const { code, out, err } = await configured.run(argv, { LANDFALL_CONCURRENCY: 'x' });
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain(expected);
  });
});

test('wrong usage has nothing to do with where other values come from', async () => {
  await using configured = await Configured.make({ user: 'concurrency = 3' });
  const { err } = await configured.run(['images', '--concurrency', 'x']);
  expect(err.split('\n')[0]).toBe(
    "landfall: option '--concurrency <n>' argument 'x' is invalid. It is not a positive whole number.",
  );
});

describe('an error that a value of a file leads to tells where that stands', () => {
  test.each([
    [
      'of a command',
      '[gc]\nunused-for = "soon"',
      ['gc'],
      '--unused-for: "soon" is not a duration (--unused-for comes from FILE:2)',
    ],
    [
      'beside one that was typed',
      '[copy]\nall = true',
      ['copy', '--platform', 'linux/amd64', 'a', 'b'],
      '--all and --platform exclude each other (--all comes from FILE:2)',
    ],
  ])('%s', async (_, user, argv, expected) => {
    await using configured = await Configured.make({ user });
    const { code, err } = await configured.run(argv);
    expect(code).toBe(2);
    expect(err.split('\n')[0]).toBe(`landfall: ${expected.replace('FILE', configured.user)}`);
  });
});
