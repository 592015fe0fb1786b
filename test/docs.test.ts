import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PAGES } from './support/documentation/pages.js';

const ALL = [
  ...PAGES,
  'CONTRIBUTING.md',
  'bench/README.md',
  'deploy/README.md',
  'deploy/containerd/README.md',
].filter((page) => existsSync(page));

interface Link {
  readonly text: string;
  /** The page that it stands on, where it names none. */
  readonly target: string;
  readonly anchor?: string;
}

/** What a page says outside of its blocks of code, and of what stands as code in a line. */
function proseOf(page: string): string {
  return readFileSync(page, 'utf8')
    .replace(/^(`{3,})[^]*?^\1$/gm, '')
    .replace(/`[^`\n]*`/g, (code) => code.replace(/[[\]()]/g, ''));
}

/** The links of a page that lead to files of the repository. */
function linksOf(page: string): Link[] {
  return [...proseOf(page).matchAll(/\]\(([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(
    ([text, path = '', anchor]) => {
      if (/^https?:\/\//.test(path)) return [];
      const target = path === '' ? page : normalize(join(dirname(page), path));
      return [{ text, target, ...(anchor === undefined ? {} : { anchor }) }];
    },
  );
}

/**
 * The anchors of a page's titles, as GitHub makes them: those of titles that stand there again have a number.
 */
function anchorsOf(page: string): string[] {
  const seen = new Map<string, number>();
  const titles = [...readFileSync(page, 'utf8').matchAll(/^(`{3,})[^]*?^\1$|^#+ (.*)$/gm)];
  return titles.flatMap(([, , title]) => {
    if (title === undefined) return [];
    const anchor = title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(anchor) ?? 0;
    seen.set(anchor, count + 1);
    return [count === 0 ? anchor : `${anchor}-${count}`];
  });
}

describe('the pages', () => {
  it.each(ALL)('%s: its links lead somewhere', (page) => {
    for (const { text, target, anchor } of linksOf(page)) {
      expect.soft(existsSync(target), `${page}: ${text}`).toBe(true);
      if (anchor !== undefined && existsSync(target))
        expect.soft(anchorsOf(target), `${page}: ${text}`).toContain(anchor);
    }
  });

  it('are all led to by docs/README.md', () => {
    const reached = new Set(['docs/README.md']);
    for (const page of reached) {
      for (const { target } of linksOf(page))
        if (target.endsWith('.md') && existsSync(target) && statSync(target).isFile()) reached.add(target);
    }
    const left = PAGES.filter((page) => page !== 'README.md' && !reached.has(page));
    expect(left).toEqual([]);
  });

  it('each have a line of their own there', () => {
    const index = new Set(linksOf('docs/README.md').map(({ target }) => target));
    const direct = PAGES.filter((page) => dirname(page) === 'docs' && page !== 'docs/README.md');
    expect(direct.filter((page) => !index.has(page))).toEqual([]);
  });

  it('are led to by README.md', () => {
    expect(linksOf('README.md').map(({ target }) => target)).toContain('docs/README.md');
  });
});
