import { homedir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { resolveSettings } from '../../src/cli/settings.js';

describe('the root of the store', () => {
  test.each([
    ['the option is first', '/opt', { LANDFALL_ROOT: '/env', XDG_DATA_HOME: '/xdg' }, 1000, '/opt'],
    ['then the environment', undefined, { LANDFALL_ROOT: '/env', XDG_DATA_HOME: '/xdg' }, 1000, '/env'],
    ['as root the system has its place', undefined, { XDG_DATA_HOME: '/xdg' }, 0, '/var/lib/landfall'],
    [
      'a user has one of their own',
      undefined,
      { XDG_DATA_HOME: '/xdg', HOME: '/home/u' },
      1000,
      '/xdg/landfall',
    ],
    ['by default below the home', undefined, { HOME: '/home/u' }, 1000, '/home/u/.local/share/landfall'],
    [
      'empty is unset',
      undefined,
      { LANDFALL_ROOT: '', XDG_DATA_HOME: '', HOME: '/h' },
      1,
      '/h/.local/share/landfall',
    ],
    ['without a HOME the user database knows', undefined, {}, 1000, `${homedir()}/.local/share/landfall`],
    ['a relative one is made absolute', 'store', {}, 0, path.resolve('store')],
  ] as const)('%s', (_, root, env, uid, expected) => {
    const flags = root === undefined ? {} : { root };
    expect(resolveSettings(flags, { env, uid }).root).toBe(expected);
  });
});

describe('additional stores', () => {
  test.each([
    [
      'the options, in their order',
      ['/b', 'a'],
      { LANDFALL_ADDITIONAL_ROOTS: '/env' },
      ['/b', path.resolve('a')],
    ],
    ['else the environment', undefined, { LANDFALL_ADDITIONAL_ROOTS: '/b:a' }, ['/b', path.resolve('a')]],
    ['of which what is empty counts as unset', undefined, { LANDFALL_ADDITIONAL_ROOTS: ':/b::' }, ['/b']],
    ['all of it, too', undefined, { LANDFALL_ADDITIONAL_ROOTS: '' }, []],
    ['by default there are none', undefined, {}, []],
  ] as const)('%s', (_, additionalRoot, env, expected) => {
    const flags = additionalRoot === undefined ? {} : { additionalRoot };
    expect(resolveSettings(flags, { env, uid: 0 }).additionalRoots).toEqual(expected);
  });
});

describe('the form of snapshots', () => {
  test.each([
    ['the option is first', 'native', { LANDFALL_SNAPSHOTS: 'overlay' }, 'native'],
    ['even where the environment is wrong', 'native', { LANDFALL_SNAPSHOTS: 'zfs' }, 'native'],
    ['then the environment', undefined, { LANDFALL_SNAPSHOTS: 'native' }, 'native'],
    ['empty is unset', undefined, { LANDFALL_SNAPSHOTS: '' }, undefined],
    ['by default the machine decides', undefined, {}, undefined],
  ] as const)('%s', (_, snapshots, env, expected) => {
    const flags = snapshots === undefined ? {} : { snapshots };
    expect(resolveSettings(flags, { env, uid: 0 }).snapshots).toBe(expected);
  });

  test('is wrong usage where the environment names another', () => {
    expect(() => resolveSettings({}, { env: { LANDFALL_SNAPSHOTS: 'zfs' }, uid: 0 })).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', message: 'LANDFALL_SNAPSHOTS is zfs' }) as Error,
    );
  });
});

describe('what inflates', () => {
  test.each([
    ['the option is first', 'zlib', { LANDFALL_INFLATE: 'isa-l' }, 'zlib'],
    ['even where the environment is wrong', 'isa-l', { LANDFALL_INFLATE: 'fast' }, 'isa-l'],
    ['then the environment', undefined, { LANDFALL_INFLATE: 'zlib' }, 'zlib'],
    ['empty is unset', undefined, { LANDFALL_INFLATE: '' }, 'auto'],
    ['by default the machine decides', undefined, {}, 'auto'],
  ] as const)('%s', (_, inflate, env, expected) => {
    const flags = inflate === undefined ? {} : { inflate };
    expect(resolveSettings(flags, { env, uid: 0 }).inflate).toBe(expected);
  });

  test('is wrong usage where the environment names another', () => {
    expect(() => resolveSettings({}, { env: { LANDFALL_INFLATE: 'fast' }, uid: 0 })).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', message: 'LANDFALL_INFLATE is fast' }) as Error,
    );
  });
});

test('defaults', () => {
  expect(resolveSettings({}, { env: {}, uid: 0 })).toMatchObject({
    plainHttp: false,
    insecure: false,
    progress: 'auto',
    output: 'text',
    logLevel: 'info',
    concurrency: undefined,
  });
});
