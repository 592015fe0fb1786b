import { describe, expect, test } from 'vitest';
import { readLine } from '../../src/cli/options/options.js';
import { createProgram } from '../../src/cli/program.js';

const program = createProgram(() => Promise.resolve());

describe('the words of a line', () => {
  test.each<[string, string, object]>([
    ['nothing', '', { command: undefined, operands: [] }],
    ['a command and what it is for', 'pull a b', { command: 'pull', operands: ['a', 'b'] }],
    ['a word that is no command', 'image ls', { command: undefined, operands: ['image', 'ls'] }],
    [
      'a value that looks like a command',
      '--root pull gc',
      { command: 'gc', options: { '--root': ['pull'] } },
    ],
    ['a value behind an equals sign', 'gc --root=/x', { command: 'gc', options: { '--root': ['/x'] } }],
    ['an option that takes no value', 'pull -q alpine', { operands: ['alpine'], options: { '--quiet': [] } }],
    [
      'one given several times',
      'images --filter a=b --filter c=d',
      { options: { '--filter': ['a=b', 'c=d'] } },
    ],
    ['one that waits for its value', 'pull x --platform', { awaiting: '--platform', operands: ['x'] }],
    [
      'one whose value may be left out',
      'doctor --containerd --root /x',
      { options: { '--containerd': [], '--root': ['/x'] } },
    ],
    ['what comes after two dashes', 'pull -- --root', { operands: ['--root'], options: {} }],
    ['standard input', 'verify -', { command: 'verify', operands: ['-'] }],
    ['an option that nobody knows', 'pull --nope x', { command: 'pull', operands: ['x'], options: {} }],
  ])('%s', (_, typed, wanted) => {
    const { command, operands, options, awaiting } = readLine(
      program,
      typed.split(' ').filter((word) => word !== ''),
    );
    expect({
      command: command?.name(),
      operands,
      options: Object.fromEntries(
        [...options].map(([option, values]): [string, readonly string[]] => [option.long ?? '', values]),
      ),
      awaiting: awaiting?.long,
    }).toMatchObject(wanted);
  });
});
