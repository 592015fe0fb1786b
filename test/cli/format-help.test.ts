import { describe, expect, test } from 'vitest';
import { groupCommands, groupGlobalOptions } from '../../src/cli/options/help.js';
import { main } from '../../src/cli/main.js';
import { createProgram } from '../../src/cli/program.js';
import { CapturedStream, FakeSignals, fakeSurroundings } from './fake-surroundings.js';

const program = createProgram(() => Promise.resolve());

async function help(
  words: readonly string[],
  { env = {}, terminal }: { env?: Record<string, string>; terminal?: number } = {},
): Promise<string> {
  const stdout = new CapturedStream(terminal === undefined ? {} : { isTTY: true, columns: terminal });
  const surroundings = fakeSurroundings({ env, stdout });
  expect(await main([...words, '--help'], surroundings, new FakeSignals())).toBe(0);
  return stdout.text;
}

const widest = (text: string): number => Math.max(...text.split('\n').map((line) => line.length));
const all: [string, readonly string[]][] = [
  ['the program', []],
  ...program.commands.map((command): [string, string[]] => [command.name(), [command.name()]]),
];

describe('help', () => {
  test('has examples, then commands, then options', async () => {
    const text = await help([]);
    const order = [
      'Usage:',
      'Brings',
      'Examples:',
      'Pull and look at images:',
      'Options (store):',
      '--root <dir>',
    ];
    const places = order.map((one) => text.indexOf(one));
    expect(places).not.toContain(-1);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  });

  test('of a command has examples, then its own options, and of the others the names', async () => {
    const text = await help(['pull']);
    const order = [
      'Usage:',
      'Downloads',
      'Examples:',
      'Arguments:',
      'Options:',
      'Global options (see `landfall --help`):',
    ];
    const places = order.map((one) => text.indexOf(one));
    expect(places).not.toContain(-1);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(text).toContain('--max-retry-after');
    expect(text).not.toContain('how long a registry may ask');
  });

  test.each(all)('of %s is as wide as it is told', async (_, words) => {
    for (const width of [60, 80]) {
      expect(widest(await help(words, { terminal: width, env: { NO_COLOR: '1' } }))).toBeLessThanOrEqual(
        width,
      );
      expect(widest(await help(words, { env: { COLUMNS: String(width) } }))).toBeLessThanOrEqual(width);
    }
    expect(widest(await help(words))).toBeLessThanOrEqual(80);
    expect(widest(await help(words, { terminal: 200, env: { NO_COLOR: '1' } }))).toBeLessThanOrEqual(100);
  });

  test('is bold where there are colours, and nowhere else', async () => {
    expect(await help([], { terminal: 80, env: { TERM: 'xterm' } })).toContain('\u001b[1mUsage:\u001b[22m');
    expect(await help([], { terminal: 80, env: { NO_COLOR: '1' } })).not.toContain('\u001b');
    expect(await help([], { terminal: 80, env: { TERM: 'dumb' } })).not.toContain('\u001b');
    expect(await help([])).not.toContain('\u001b');
  });
});

describe('each has a group', () => {
  const titles = (groups: readonly { readonly title: string }[]): string[] =>
    groups.map(({ title }) => title);

  test('command', () => {
    expect(titles(groupCommands(program.commands))).not.toContain('More');
  });

  test('global option', () => {
    expect(titles(groupGlobalOptions(program.options))).not.toContain('More');
  });

  test('and one without is not left out', () => {
    const other = program.createCommand('other');
    expect(groupCommands([other])).toEqual([{ title: 'More', members: [other] }]);
  });
});
