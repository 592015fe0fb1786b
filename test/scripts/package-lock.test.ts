import { describe, expect, it } from 'vitest';
import {
  dependenciesOf,
  parsePackageLock,
  productionPackages,
  rootOf,
  shippedPackages,
} from '../../scripts/package-lock.js';

const LOCK = JSON.stringify({
  packages: {
    '': {
      name: 'ship',
      version: '1.0.0',
      dependencies: { a: '*' },
      devDependencies: { tool: '*' },
      peerDependencies: { tool: '*' },
      peerDependenciesMeta: { tool: { optional: true } },
    },
    'node_modules/a': { version: '1.0.0', dependencies: { b: '*', '@team/c': '*' } },
    'node_modules/a/node_modules/b': { version: '2.0.0', optionalDependencies: { elsewhere: '*' } },
    'node_modules/b': { version: '1.0.0', dev: true },
    'node_modules/@team/c': { version: '3.0.0', peerDependencies: { a: '*' } },
    'node_modules/tool': { version: '1.0.0', dev: true, dependencies: { b: '*' } },
  },
});

describe('a package-lock.json', () => {
  const lock = parsePackageLock(LOCK);

  it('says whose it is', () => {
    expect(rootOf(lock)).toMatchObject({ name: 'ship', version: '1.0.0' });
  });

  it('names what a user gets, round trips and places included, and nothing that only development needs', () => {
    const paths = productionPackages(lock).map(({ path }) => path);
    expect(paths).toEqual(['node_modules/@team/c', 'node_modules/a', 'node_modules/a/node_modules/b']);
  });

  it('names a copy beside what is installed, by its place', () => {
    const paths = shippedPackages(lock, new Set(['node_modules/b', 'node_modules/a'])).map(
      ({ path }) => path,
    );
    expect(paths).toEqual([
      'node_modules/@team/c',
      'node_modules/a',
      'node_modules/a/node_modules/b',
      'node_modules/b',
    ]);
  });

  it('is searched as Node searches: a place of its own first, then those above', () => {
    const needs = (path: string): string[] => {
      const of = lock.get(path);
      return of === undefined ? [] : dependenciesOf(lock, of).map((each) => `${each.path}@${each.version}`);
    };
    expect(needs('node_modules/a')).toEqual([
      'node_modules/a/node_modules/b@2.0.0',
      'node_modules/@team/c@3.0.0',
    ]);
    expect(needs('node_modules/tool')).toEqual(['node_modules/b@1.0.0']);
    expect(needs('node_modules/a/node_modules/b')).toEqual([]);
  });

  it.each(['{}', '{"packages":[]}', '{"packages":{"node_modules/a":{}}}'])(
    'is refused when it is %s',
    (text) => {
      expect(() => parsePackageLock(text)).toThrow('the lock ');
    },
  );
});
