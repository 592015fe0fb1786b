import { readFileSync } from 'node:fs';
import type { Command, Option } from 'commander';
import { describe, expect, test } from 'vitest';

import { keyOf, kindOf, type OptionKind, refusalOf, takesPath } from '../../../src/cli/config/settings.js';
import { configKeys } from '../../../src/cli/config/config-file.js';
import { variablesOf } from '../../../src/cli/config/configuration.js';
import { createProgram } from '../../../src/cli/program.js';
import { secret } from '../../support/secrets.js';
import { Configured } from './configured.js';

const program = createProgram(() => Promise.resolve());
const page = readFileSync('docs/configuration.md', 'utf8');

/** The cells of the table rows of a section, without its head. */
function rowsOf(section: string): string[][] {
  const text = page.split(/^## /m).find((one) => one.startsWith(`${section}\n`));
  if (text === undefined) throw new Error(`docs/configuration.md has no section ${section}`);
  const rows = text.split('\n').filter((line) => line.startsWith('|'));
  return rows.slice(2).map((row) =>
    row
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  );
}

const codes = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);

const KINDS: Readonly<Record<Exclude<OptionKind, 'choice'>, string>> = {
  switch: '`true` or `false`',
  number: 'number',
  text: 'string',
  list: 'list of strings',
  table: 'table',
};

function takes(option: Option): string {
  const kind = kindOf(option);
  if (kind === 'choice') return (option.argChoices ?? []).map((choice) => `\`"${choice}"\``).join(', ');
  if (takesPath(option)) return kind === 'list' ? 'list of paths' : 'path';
  // In whole or with a unit.
  return option.flags.includes('<bytes>') ? 'size' : KINDS[kind];
}

describe('docs/configuration.md', () => {
  test('tells of each key of the global options, what it takes and its variables', () => {
    const options = program.options.filter((option) => refusalOf('', option) === undefined);
    const wanted = options.map((option) => [keyOf(option), takes(option), variablesOf(option)]);
    expect(
      rowsOf('Keys').map(([key = '', kind, variables = '']) => [codes(key)[0], kind, codes(variables)]),
    ).toEqual(wanted);
  });

  test('tells of each key of the tables of commands', () => {
    const wanted = program.commands
      .map((command): [string, readonly string[]] => [`[${command.name()}]`, configKeys(program, command)])
      .filter(([, keys]) => keys.length > 0);
    expect(rowsOf('Tables').map(([table = '', keys = '']) => [codes(table)[0], codes(keys)])).toEqual(wanted);
  });

  test('tells of each option that is refused', () => {
    const refused = ([name, command]: readonly [string, Command]): string[] =>
      command.options
        .filter((option) => refusalOf(name, option) !== undefined)
        .map((option) => (name === '' ? keyOf(option) : `${name}.${keyOf(option)}`));
    const all = [
      ['', program] as const,
      ...program.commands.map((command) => [command.name(), command] as const),
    ].flatMap(refused);
    const reported = rowsOf('What no file may say').flatMap(([keys = '']) => codes(keys));
    expect(reported.sort()).toEqual(all.filter((key) => key !== 'version').sort());
  });

  test('shows examples that are right', async () => {
    const examples = [...page.matchAll(/```toml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
    expect(examples.length).toBeGreaterThan(0);
    for (const system of examples) {
      await using configured = await Configured.make({ system });
      const { code, err } = await configured.run(['config']);
      expect({ code, err }, system).toEqual({ code: 0, err: '' });
    }
  });
});

test('docs/cli.md names the variable of each global option', () => {
  const section = readFileSync('docs/cli.md', 'utf8')
    .split(/^## /m)
    .find((one) => one.startsWith('Global options\n'));
  for (const option of program.options) {
    const row = section
      ?.split('\n')
      .find((line) => line.startsWith('| `') && line.includes(option.long ?? ''));
    const cell = row?.split(/(?<!\\)\|/)[2] ?? '';
    expect(codes(cell), option.flags).toEqual(variablesOf(option));
  }
});

test('docs/json-output.md shows what `landfall config` answers', async () => {
  const section = readFileSync('docs/json-output.md', 'utf8')
    .split(/^## /m)
    .find((one) => one.startsWith('config\n'));
  const wanted = JSON.parse(/```json\n([\s\S]*?)```/.exec(section ?? '')?.[1] ?? '') as Answer;
  await using configured = await Configured.make({
    system: '# A node\n\n[pull]\n\n\n\nplatform = "linux/arm64"',
  });
  await configured.write(`${configured.home}/.docker/config.json`, '{}');
  const { out } = await configured.run(
    [
      ...['--output', 'json', '--hosts-dir', '/srv/certs.d', 'config'],
      ...wanted.settings.map(({ key }) => key),
    ],
    { LANDFALL_PLAIN_HTTP: 'true', LANDFALL_CREDS: `robot:${secret('config-in-docs')}` },
  );
  // Where things lie is another matter here.
  const reported = out
    .replaceAll(configured.system, '/etc/landfall/config.toml')
    .replaceAll(`${configured.home}/.local/share/landfall`, '/var/lib/landfall')
    .replaceAll(configured.home, '/root');
  expect(JSON.parse(reported)).toEqual(wanted);
});

interface Answer {
  readonly files: readonly object[];
  readonly settings: readonly { readonly key: string }[];
}
