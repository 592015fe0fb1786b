import { describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { FakeSignals, fakeSurroundings } from './fake-surroundings.js';

async function run(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const surroundings = fakeSurroundings();
  const code = await main(argv, surroundings, new FakeSignals());
  return { code, out: surroundings.stdout.text, err: surroundings.stderr.text };
}

describe('wrong usage ends with 2 and says what to do', () => {
  test.each([
    [
      'a mistyped command',
      ['pul', 'x'],
      "unknown command 'pul'",
      'Did you mean pull? Else see `landfall --help`.',
    ],
    ['an unknown command', ['zzzzzzzz'], "unknown command 'zzzzzzzz'", 'See `landfall --help`.'],
    [
      'a mistyped option',
      ['pull', '--platfrom', 'x', 'y'],
      "unknown option '--platfrom'",
      'Did you mean --platform? Else see `landfall pull --help`.',
    ],
    ['a missing argument', ['tag'], "missing required argument 'source'", 'See `landfall tag --help`.'],
    [
      'no image and no list of them',
      ['pull'],
      "missing required argument 'reference'",
      'Name images, or a list of them with --file.',
    ],
    [
      'an argument too many',
      ['tag', 'a', 'b', 'c'],
      "too many arguments for 'tag'. Expected 2 arguments but got 3.",
      'See `landfall tag --help`.',
    ],
    [
      'an option without its value',
      ['gc', '--root'],
      "option '--root <dir>' argument missing",
      'See `landfall gc --help`.',
    ],
    [
      'a value that is not offered',
      ['--output', 'yaml', 'gc'],
      "option '--output <form>' argument 'yaml' is invalid. Allowed choices are text, json.",
      'See `landfall gc --help`.',
    ],
    ...['0', '-1', '1.5', 'many', ''].map((value): [string, string[], string, string] => [
      `--concurrency '${value}'`,
      ['pull', 'x', '--concurrency', value],
      `option '--concurrency <n>' argument '${value}' is invalid. It is not a positive whole number.`,
      'See `landfall pull --help`.',
    ]),
  ])('%s', async (_, argv, message, hint) => {
    expect(await run(...argv)).toEqual({ code: 2, out: '', err: `landfall: ${message}\n  hint: ${hint}\n` });
  });

  test('for a program it is one JSON object, wherever --output stands', async () => {
    for (const argv of [
      ['pull', '--output', 'json'],
      ['--output=json', 'pull'],
    ]) {
      const { code, out, err } = await run(...argv);
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(JSON.parse(err)).toEqual({
        code: 'INVALID_CONFIG',
        message: "missing required argument 'reference'",
        hint: 'Name images, or a list of them with --file.',
        retryable: false,
      });
    }
  });

  test('what only the environment says', async () => {
    const surroundings = fakeSurroundings({ env: { LANDFALL_SNAPSHOTS: 'zfs' } });
    expect(await main(['images'], surroundings, new FakeSignals())).toBe(2);
    expect(surroundings.stderr.text).toBe(
      'landfall: LANDFALL_SNAPSHOTS is zfs\n  hint: Set it to overlay or native, or unset it.\n',
    );
  });

  test('no command at all: the help, on standard error', async () => {
    const { code, out, err } = await run();
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^Usage: landfall /);
  });
});

describe('help and version', () => {
  test.each([[['--version']], [['-V']]])('%j', async (argv) => {
    const { code, out, err } = await run(...argv);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^landfall \d+\.\d+\.\d+\n$/);
  });

  test.each([
    [['--help'], 'Usage: landfall [options] [command]'],
    [['help'], 'Usage: landfall [options] [command]'],
    [['pull', '--help'], 'Usage: landfall pull [options] [reference...]'],
    [['help', 'pull'], 'Usage: landfall pull [options] [reference...]'],
  ])('%j', async (argv, usage) => {
    const { code, out, err } = await run(...argv);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out.split('\n')[0]).toBe(usage);
    expect(out).toMatch(/^Examples:\n {2}(?:Pull images.*\n {4})?landfall /m);
    expect(out.indexOf('Examples:')).toBeLessThan(out.indexOf('\nOptions'));
  });
});

describe('errors of a command', () => {
  test('a platform that is none', async () => {
    const { code, err } = await run('pull', '--platform', 'a/b/c/d/e', 'x', '--output', 'json');
    expect(code).toBe(2);
    expect(JSON.parse(err)).toMatchObject({ code: 'INVALID_CONFIG' });
  });

  test('an address that is none', async () => {
    const { code, err } = await run('serve', '--listen', 'nowhere');
    expect(code).toBe(2);
    expect(err).toBe(
      'landfall: "nowhere" is not an address to listen on\n' +
        '  hint: Write HOST:PORT, for example 127.0.0.1:5000 or [::1]:5000; port 0 takes a free one.\n',
    );
  });

  test('a filter that is none', async () => {
    for (const filter of ['dangling=true', 'pinned=yes', 'label=', 'reference', '']) {
      const { code, err } = await run('images', '--filter', filter);
      expect(code).toBe(2);
      expect(err).toContain(`"${filter}" is not a filter`);
    }
  });

  test('--raw and --config', async () => {
    const { code, err } = await run('inspect', '--raw', '--config', 'x');
    expect(code).toBe(2);
    expect(err).toContain('--raw and --config exclude each other');
  });

  test('a source that cannot be served', async () => {
    const { code, err } = await run('serve', 'oci:dir:tag', '--listen', '127.0.0.1:0');
    expect(code).toBe(2);
    expect(err).toContain('oci:dir:tag cannot be served');
  });

  test('a layout that is not there', async () => {
    const { code, out, err } = await run('inspect', 'oci:/no/such/layout', '--output', 'json');
    expect({ code, out }).toEqual({ code: 3, out: '' });
    expect(JSON.parse(err)).toMatchObject({ code: 'BLOB_NOT_FOUND' });
  });
});
