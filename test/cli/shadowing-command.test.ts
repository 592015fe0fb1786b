import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';

import { createProgram } from '../../src/cli/program.js';

/** What the program and the command make of a line. */
async function parsed(...argv: string[]): Promise<{ globals: object; own: object; operands: string[] }> {
  const program = createProgram(() => Promise.resolve());
  let ran: Command | undefined;
  program.hook('preAction', (_, command) => {
    ran = command;
  });
  await program.parseAsync(argv, { from: 'user' });
  return { globals: program.opts(), own: ran?.opts() ?? {}, operands: ran?.args ?? [] };
}

describe('--config is the file before the name of inspect, and a switch behind it', () => {
  test.each<[argv: string, globals: object, own: object]>([
    ['inspect --config alpine', {}, { config: true }],
    ['inspect alpine --config', {}, { config: true }],
    ['--config FILE inspect alpine', { config: 'FILE' }, {}],
    ['--config=FILE inspect alpine', { config: 'FILE' }, {}],
    ['--config FILE inspect --config alpine', { config: 'FILE' }, { config: true }],
    ['--config inspect inspect --config alpine', { config: 'inspect' }, { config: true }],
    ['--root inspect --config FILE inspect alpine', { root: 'inspect', config: 'FILE' }, {}],
    ['--output json inspect --raw --config alpine', { output: 'json' }, { raw: true, config: true }],
    ['inspect --config alpine --output json --root /r', { output: 'json', root: '/r' }, { config: true }],
    ['inspect --config=true alpine', {}, { config: true }],
    ['inspect -- alpine', {}, {}],
  ])('%s', async (line, globals, own) => {
    expect(await parsed(...line.split(' '))).toEqual({ globals, own, operands: ['alpine'] });
  });

  test.each([
    ['--config FILE images', { config: 'FILE' }],
    ['images --config FILE', { config: 'FILE' }],
    ['images --config=FILE', { config: 'FILE' }],
    ['config --config FILE', { config: 'FILE' }],
  ])('of another command it is always the file: %s', async (line, globals) => {
    expect(await parsed(...line.split(' '))).toEqual({ globals, own: {}, operands: [] });
  });

  test('what follows -- is no option', async () => {
    const { operands } = await parsed('pull', '--', '--config');
    expect(operands).toEqual(['--config']);
    await expect(parsed('inspect', '--', 'alpine', '--config')).rejects.toThrow('too many arguments');
  });

  test('without its value the one of the program is refused', async () => {
    await expect(parsed('images', '--config')).rejects.toThrow("option '--config <file>' argument missing");
  });
});

describe('a switch may be typed with a value', () => {
  test.each<[argv: string, globals: object, own: object]>([
    ['--plain-http=false pull alpine', { plainHttp: false }, { unpack: true }],
    ['pull alpine --plain-http=true', { plainHttp: true }, { unpack: true }],
    ['pull --discard-layers=false alpine', {}, { unpack: true, discardLayers: false }],
    ['pull --unpack=false alpine', {}, { unpack: false }],
    ['pull --unpack=true alpine', {}, { unpack: true }],
    ['--plain-http=false pull --plain-http alpine', { plainHttp: true }, { unpack: true }],
    ['--plain-http pull --plain-http=false alpine', { plainHttp: false }, { unpack: true }],
    ['pull --unpack=true --no-unpack alpine', {}, { unpack: false }],
    ['pull --no-unpack --unpack=true alpine', {}, { unpack: true }],
    ['pull --no-unpack alpine', {}, { unpack: false }],
    ['pull --unpack alpine', {}, { unpack: true }],
    ['--insecure=false inspect --config=false alpine', { insecure: false }, { config: false }],
  ])('%s', async (line, globals, own) => {
    expect(await parsed(...line.split(' '))).toEqual({ globals, own, operands: ['alpine'] });
  });

  test.each([
    ['pull --plain-http=maybe alpine', "unknown option '--plain-http=maybe'"],
    ['pull --no-unpack=false alpine', "unknown option '--no-unpack=false'"],
    ['pull --nothing=false alpine', "unknown option '--nothing=false'"],
  ])('%s is refused', async (line, message) => {
    await expect(parsed(...line.split(' '))).rejects.toThrow(message);
  });

  test('what takes a value takes that one as well', async () => {
    expect((await parsed('--root=false', 'images')).globals).toEqual({ root: 'false' });
  });

  test('behind -- it is an argument', async () => {
    expect((await parsed('pull', '--', '--plain-http=false')).operands).toEqual(['--plain-http=false']);
  });
});
