import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { commandOf } from '../../src/cli/options/options.js';
import { peerCommand, peerOption, peerUse } from '../../src/cli/options/peer-words.js';
import { createProgram } from '../../src/cli/program.js';

const program = createProgram(() => Promise.resolve());

describe('what is typed at a peer leads to what is typed here', () => {
  test.each<[string, string]>([
    ['rm alpine', 'landfall rmi'],
    ['image ls', 'landfall images'],
    ['images list', 'landfall images'],
    ['list-tags docker://alpine', 'landfall tags'],
    ['digest alpine', 'landfall resolve'],
    ['repo ls registry.lan', 'landfall catalog HOST'],
    ['manifest inspect alpine', 'inspect --raw'],
    ['image prune -a', 'landfall gc'],
    ['system df', 'landfall df'],
    ['content fetch alpine', '--no-unpack'],
    ['discover alpine', 'landfall referrers'],
    ['run alpine', 'runs no containers'],
  ])('%s', (typed, wanted) => {
    expect(peerCommand(typed.split(' '))).toContain(wanted);
  });

  test.each<[string, readonly string[], string]>([
    ['images', ['ls'], 'landfall images'],
    ['ls', [], 'landfall tags'],
    ['config', ['alpine', 'x'], '--config'],
  ])('with other words: %s %j', (name, operands, wanted) => {
    expect(peerUse(name, operands)).toContain(wanted);
  });

  test.each<[string, string]>([
    ['--src-tls-verify', '--src-insecure'],
    ['--override-arch', '--platform'],
    ['--format', '--output json'],
    ['-v', '-V'],
  ])('%s', (flag, wanted) => {
    expect(peerOption(flag)).toContain(wanted);
  });

  test.each(['constructor', 'toString', 'zzz', ''])('nothing of %j', (word) => {
    expect(peerCommand([word])).toBeUndefined();
    expect(peerUse(word, [word])).toBeUndefined();
    expect(peerOption(word)).toBeUndefined();
  });
});

describe('what they lead to', () => {
  const text = readFileSync('src/cli/options/peer-words.ts', 'utf8');
  const known = [program, ...program.commands].flatMap(({ options }) => options);

  test('are commands that there are', () => {
    const named = [...text.matchAll(/`landfall ([a-z]+)/g)].map(([, name = '']) => name);
    expect(named.length).toBeGreaterThan(25);
    for (const name of named) expect(commandOf(program, name), name).toBeDefined();
  });

  test('and options that there are', () => {
    const hints = [...text.matchAll(/^ {2}(['"`])((?:(?!\1).)+)\1:/gm)].map(([, , hint = '']) => hint);
    const named = hints.flatMap((hint) => hint.match(/--[a-z][a-z-]+/g) ?? []);
    expect(named.length).toBeGreaterThan(25);
    for (const name of named) {
      expect(known.some(({ long }) => long === name) || name === '--version', name).toBe(true);
    }
  });

  test('no word here is a command here, and no option one that all have', () => {
    for (const { name } of program.commands.map((command) => ({ name: command.name() }))) {
      expect(peerCommand([name]), name).toBeUndefined();
    }
    for (const { long, short } of program.options) {
      for (const flag of [long, short]) expect(peerOption(flag ?? ''), flag).toBeUndefined();
    }
  });
});
