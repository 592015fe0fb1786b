import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { examplesOf } from '../../src/cli/options/options.js';
import { createProgram } from '../../src/cli/program.js';
import type { GlobalFlags } from '../../src/cli/config/settings.js';

function program(): Command {
  return createProgram(() => Promise.resolve());
}

describe('global options', () => {
  test.each([
    ['before the command', ['--root', '/r', '--plain-http', '--output', 'json', 'pull', 'x']],
    ['after the command', ['pull', '--root', '/r', '--plain-http', '--output', 'json', 'x']],
    ['after the arguments', ['pull', 'x', '--root=/r', '--plain-http', '--output=json']],
    [
      'among the command’s own',
      ['pull', '-q', '--root', '/r', 'x', '--platform', 'arm64', '--plain-http', '--output', 'json'],
    ],
  ])('%s', async (_, argv) => {
    const parsed = await program().parseAsync(argv, { from: 'user' });
    expect(parsed.opts<GlobalFlags>()).toEqual({ root: '/r', plainHttp: true, output: 'json' });
  });

  test('none has a default, so that it can be told what was typed', async () => {
    const parsed = await program().parseAsync(['gc'], { from: 'user' });
    expect(parsed.opts<GlobalFlags>()).toEqual({});
  });
});

describe('docs/cli.md', () => {
  const page = readFileSync('docs/cli.md', 'utf8');
  const sections = page.split(/^## /m);
  const sectionOf = (title: string): string | undefined =>
    sections.find((text) => text.split('\n')[0]?.replace(/ \[?[A-Z].*$/, '') === title);

  test.each(program().commands.map((command) => [command.name(), command] as const))(
    'tells of %s',
    (name, command) => {
      const section = sectionOf(`landfall ${name}`);
      if (section === undefined) throw new Error(`docs/cli.md has no section for ${name}`);
      const wanted = command.registeredArguments.map((argument) => {
        const title = argument.name().toUpperCase() + (argument.variadic ? '…' : '');
        return argument.required ? title : `[${title}]`;
      });
      expect(section.split('\n')[0]).toBe([`landfall ${name}`, ...wanted].join(' '));
      for (const option of command.options) {
        expect.soft(section, option.flags).toContain(`\`${option.long ?? ''}`);
        if (option.short !== undefined) expect.soft(section, option.flags).toContain(`\`${option.short}\``);
      }
      const options = [...section.matchAll(/^\| (`.*?)\|/gm)].flatMap(
        ([, cell = '']) => cell.match(/--[a-z-]+/g) ?? [],
      );
      expect(options.sort()).toEqual(command.options.map((option) => option.long ?? '').sort());
    },
  );

  test('tells of every global option and of no other', () => {
    const section = sectionOf('Global options');
    const reported = [...(section ?? '').matchAll(/^\| (`.*?)(?: \||$)/gm)].flatMap(
      ([, cell = '']) => cell.match(/--[a-z-]+/g) ?? [],
    );
    const known = program().options.map((option) => option.long ?? '');
    expect(reported.sort()).toEqual([...known, '--help'].sort());
  });

  test('tells of no command that there is not', () => {
    const reported = [...page.matchAll(/^## landfall (\w+)/gm)].map(([, name = '']) => name);
    expect(reported).toEqual(program().commands.map((command) => command.name()));
  });

  test('every example parses', async () => {
    const lines = [...page.matchAll(/^ {4}landfall (.*)$/gm)].map(([, line = '']) => line);
    expect(lines.length).toBeGreaterThan(20);
    for (const line of lines.filter((text) => !text.startsWith('['))) {
      const words = line
        .replace(/ [|<>] .*$/, '')
        .split(' ')
        .map((word) => word.replaceAll("'", ''));
      await expect(program().parseAsync(words, { from: 'user' }), line).resolves.toBeDefined();
    }
  });
});

describe('help', () => {
  test.each(program().commands.map((command) => [command.name(), command] as const))(
    '%s shows examples that parse',
    async (name, command) => {
      // Some begin with another program.
      const examples = examplesOf(command)
        .flatMap(({ lines }) => lines)
        .filter((line) => line.startsWith('landfall '));
      expect(examples.length).toBeGreaterThan(0);
      for (const example of examples) {
        expect(example).toContain(` ${name}`);
        const words = example
          .trim()
          .replace(/ [|<>] .*$/, '')
          .split(' ')
          .slice(1)
          .map((word) => word.replaceAll("'", ''));
        await expect(program().parseAsync(words, { from: 'user' }), example).resolves.toBeDefined();
      }
    },
  );
});
