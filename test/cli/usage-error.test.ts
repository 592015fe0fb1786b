import { describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { FakeSignals, fakeSurroundings } from './fake-surroundings.js';

async function hintOf(typed: string): Promise<string> {
  const surroundings = fakeSurroundings();
  expect(await main(typed.split(' '), surroundings, new FakeSignals())).toBe(2);
  expect(surroundings.stdout.text).toBe('');
  const [message, hint, ...others] = surroundings.stderr.text.trimEnd().split('\n');
  expect(message).toMatch(/^landfall: /);
  expect(others).toEqual([]);
  return hint ?? '';
}

describe('wrong usage is told with what may be meant', () => {
  test.each<[string, string, string]>([
    ['a mistyped command', 'pul x', 'Did you mean pull? Else see `landfall --help`.'],
    ['the beginning of several', 'log', 'Did you mean login or logout? Else see `landfall --help`.'],
    [
      'a command of a peer',
      'list-tags x',
      '`landfall tags REPO` lists the tags of a repository. See also `landfall --help`.',
    ],
    [
      'two words of a peer',
      'image inspect x',
      '`landfall inspect REF` shows the parts of an image. See also `landfall --help`.',
    ],
    [
      'a word too many, as a peer has it',
      'images ls',
      '`landfall images` lists the images of the store. See also `landfall images --help`.',
    ],
    ['a mistyped command to be helped with', 'help pul', 'Did you mean pull? Else see `landfall --help`.'],
    ['a mistyped option', 'pull --platfrom x y', 'Did you mean --platform? Else see `landfall pull --help`.'],
    [
      'the same with its value',
      'pull --platfrom=x y',
      'Did you mean --platform? Else see `landfall pull --help`.',
    ],
    ['a mistyped global option', 'gc --rot /x', 'Did you mean --root? Else see `landfall gc --help`.'],
    [
      'an option of a peer',
      'copy --src-tls-verify=false a b',
      '--src-plain-http speaks HTTP, --src-insecure trusts any certificate. See also `landfall copy --help`.',
    ],
    [
      'an option before the command',
      '--all-platforms pull x',
      "Write it after the command's name. See also `landfall pull --help`.",
    ],
    ['a mistyped value', 'images --output jsn', 'Did you mean json? Else see `landfall images --help`.'],
    ['a value that is near to nothing', 'images --output xml', 'See `landfall images --help`.'],
    ['a value that is a command too', '--root pull gc --nope', 'See `landfall gc --help`.'],
  ])('%s', async (_, typed, hint) => {
    expect(await hintOf(typed)).toBe(`  hint: ${hint}`);
  });

  test.each([
    ['pull --cred=me:SECRET x', "'--cred=…'"],
    ['pull --src-creds=me:SECRET x', "'--src-creds=…'"],
    ['login --password=SECRET x', "'--password=…'"],
    ['login -pSECRET x', "'-p…'"],
  ])('%s is told without the secret', async (typed, shown) => {
    const surroundings = fakeSurroundings();
    expect(await main(typed.split(' '), surroundings, new FakeSignals())).toBe(2);
    expect(surroundings.stderr.text).toContain(`unknown option ${shown}`);
    expect(surroundings.stderr.text).not.toContain('SECRET');
  });

  test.each(['help', 'help pull', 'help help'])('%s is none', async (typed) => {
    const surroundings = fakeSurroundings();
    expect(await main(typed.split(' '), surroundings, new FakeSignals())).toBe(0);
    expect(surroundings.stdout.text).toMatch(/^Usage: landfall /);
  });
});
