import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/spec/index.js';
import { entryComponents, LastDirectory } from '../../../src/unpack/layer/layer-paths.js';
import { meaningOf } from '../../../src/unpack/layer/check-entry.js';

const PARENT = { name: 'the directory' };
const PATH_LIMITS = { pathBytes: LIMITS.pathBytes, pathDepth: LIMITS.pathDepth };
const LONG = 'n'.repeat(LIMITS.nameBytes);

/** What is found for a path when the entry before had another. */
function findAfter(before: string, path: string): string | undefined {
  const last = new LastDirectory<typeof PARENT>();
  const name = entryComponents(before, PATH_LIMITS).at(-1) ?? '';
  last.remember(before, { parent: PARENT, name });
  const found = last.find(path);
  if (found !== undefined) expect(found.parent).toBe(PARENT);
  return found?.name;
}

describe('the directory of the entry before', () => {
  it.each([
    { before: 'a/b/f', path: 'a/b/g', name: 'g' },
    { before: 'a/b/f', path: 'a/b/d/', name: 'd' },
    { before: 'a/b/d/', path: 'a/b/f', name: 'f' },
    { before: 'f', path: 'g', name: 'g' },
    { before: './f', path: './g', name: 'g' },
    { before: '/f', path: '/g', name: 'g' },
    { before: 'x/../f', path: 'x/../g', name: 'g' },
    { before: 'f', path: LONG, name: LONG },
    { before: '.wh..wh.plnk/f', path: '.wh..wh.plnk/g', name: 'g' },
  ])('is that of $path after $before', ({ before, path, name }) => {
    expect(findAfter(before, path)).toBe(name);
  });

  it.each([
    { before: 'a/f', path: 'b/f', why: 'another directory' },
    { before: 'a/f', path: 'a/b/f', why: 'one below it' },
    { before: 'a/b/f', path: 'a/f', why: 'one above it' },
    { before: 'a/f', path: 'f', why: 'the root' },
    { before: 'f', path: './f', why: 'the same in another text' },
    { before: 'a/f', path: '', why: 'no name' },
    { before: 'f', path: '/', why: 'the root itself' },
    { before: 'a/f', path: 'a/', why: 'the directory itself' },
    { before: 'a/f', path: 'a//', why: 'the directory itself, with two slashes' },
    { before: 'a/f', path: 'a/.', why: 'the directory itself, as a dot' },
    { before: 'a/f', path: 'a/..', why: 'the directory above' },
    { before: 'a/f', path: 'a/../', why: 'the directory above, with a slash' },
    { before: 'a/f', path: 'a/.wh.f', why: 'a whiteout' },
    { before: 'a/f', path: `a/${LONG}n`, why: 'a name too long' },
    { before: 'a/x/..', path: 'a/x/g', why: 'a directory that the entry before did not go to' },
    { before: 'a/f/.', path: 'a/f/g', why: 'what the entry before made' },
    { before: 'af/.', path: 'a', why: 'a part of a name' },
  ])('is not that of "$path" after "$before": $why', ({ before, path }) => {
    expect(findAfter(before, path)).toBeUndefined();
  });

  it('is forgotten when something is removed', () => {
    const last = new LastDirectory<typeof PARENT>();
    last.remember('a/f', { parent: PARENT, name: 'f' });
    expect(last.find('a/g')).toEqual({ parent: PARENT, name: 'g' });
    last.forget();
    expect(last.find('a/g')).toBeUndefined();
  });

  it('is what the whole paths say, whatever they are made of', () => {
    const parts = ['a', 'b', '..', '.', '', '.wh.x', '.wh..wh.plnk'];
    const paths = [''].concat(
      ...parts.map((x) => [x, ...parts.flatMap((y) => [`${x}/${y}`, ...parts.map((z) => `${x}/${y}/${z}`)])]),
    );
    let found = 0;
    for (const before of paths) {
      const inner = placeOf(before);
      if (inner === undefined) continue;
      for (const path of paths) {
        const name = findAfter(before, path);
        if (name === undefined) continue;
        found += 1;
        expect(placeOf(path), `${path} after ${before}`).toEqual([...inner.slice(0, -1), name]);
      }
    }
    expect(found).toBeGreaterThan(100);
  });
});

/** The components of an entry that goes somewhere. */
function placeOf(path: string): string[] | undefined {
  try {
    const components = entryComponents(path, PATH_LIMITS);
    const isEntry = meaningOf(components).kind === 'entry' && components.length > 0;
    return isEntry ? components : undefined;
  } catch {
    return undefined;
  }
}
