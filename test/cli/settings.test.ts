import { homedir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type GlobalFlags, type Origin, resolveSettings } from '../../src/cli/config/settings.js';

describe('the root of the store', () => {
  test.each([
    ['what is told is first', '/opt', { XDG_DATA_HOME: '/xdg' }, 1000, '/opt'],
    ['as root the system has its place', undefined, { XDG_DATA_HOME: '/xdg' }, 0, '/var/lib/landfall'],
    [
      'a user has one of their own',
      undefined,
      { XDG_DATA_HOME: '/xdg', HOME: '/home/u' },
      1000,
      '/xdg/landfall',
    ],
    ['by default below the home', undefined, { HOME: '/home/u' }, 1000, '/home/u/.local/share/landfall'],
    ['empty is unset', undefined, { XDG_DATA_HOME: '', HOME: '/h' }, 1, '/h/.local/share/landfall'],
    ['without a HOME the user database knows', undefined, {}, 1000, `${homedir()}/.local/share/landfall`],
    ['a relative one is made absolute', 'store', {}, 0, path.resolve('store')],
  ] as const)('%s', (_, root, env, uid, expected) => {
    const flags = root === undefined ? {} : { root };
    expect(resolveSettings(flags, { env, uid }).root).toBe(expected);
  });
});

test('additional stores are made absolute, in their order', () => {
  const { additionalRoots } = resolveSettings({ additionalRoot: ['/b', 'a'] }, { env: {}, uid: 0 });
  expect(additionalRoots).toEqual(['/b', path.resolve('a')]);
});

test('defaults', () => {
  expect(resolveSettings({}, { env: {}, uid: 0 })).toMatchObject({
    additionalRoots: [],
    snapshots: undefined,
    plainHttp: false,
    insecure: false,
    inflate: 'auto',
    progress: 'auto',
    output: 'text',
    logLevel: 'info',
    concurrency: undefined,
    daemonMayPull: true,
  });
});

describe('a daemon on the root may pull where it has been told the same', () => {
  const file = (scope: 'system' | 'user' | 'named'): Origin => ({
    from: 'file',
    scope,
    path: '/f',
    line: () => 1,
  });
  const variable: Origin = { from: 'environment', variable: 'LANDFALL_X' };
  test.each<[string, GlobalFlags, [string, Origin][], boolean]>([
    ['by nobody', {}, [], true],
    ['by the file of the system', { plainHttp: true }, [['plain-http', file('system')]], true],
    ['not by that of a user', { plainHttp: true }, [['plain-http', file('user')]], false],
    ['not by one that is named', { plainHttp: true }, [['plain-http', file('named')]], false],
    ['not by a variable of whoever asks', { plainHttp: true }, [['plain-http', variable]], false],
    ['not by an option', { plainHttp: true }, [['plain-http', { from: 'option' }]], false],
    ['not by a user who takes back what the system says', {}, [['plain-http', file('user')]], false],
    ['nor of one limit of many', { unpackLimit: { layers: 3 } }, [['unpack-limit.layers', variable]], false],
    [
      'whatever does not concern it',
      { output: 'json', root: '/r' },
      [
        ['output', variable],
        ['root', { from: 'option' }],
      ],
      true,
    ],
    ['and whatever a command of its own takes', {}, [['pull.platform', file('user')]], true],
  ])('%s', (_, flags, origins, expected) => {
    expect(resolveSettings(flags, { env: {}, uid: 0 }, new Map(origins)).daemonMayPull).toBe(expected);
  });

  test('what is given without a word about it was typed', () => {
    expect(resolveSettings({ concurrency: 2 }, { env: {}, uid: 0 }).daemonMayPull).toBe(false);
    expect(resolveSettings({ unpackLimit: { layers: 2 } }, { env: {}, uid: 0 }).daemonMayPull).toBe(false);
    expect(resolveSettings({ logLevel: 'debug' }, { env: {}, uid: 0 }).daemonMayPull).toBe(true);
  });
});
