import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const PAGES = [
  'README.md',
  'docs/cli.md',
  'docs/json-output.md',
  'docs/store.md',
  'docs/signatures.md',
  'bench/README.md',
];

/** The anchors of a page's titles, as GitHub makes them. */
function anchorsOf(page: string): string[] {
  return [...readFileSync(page, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test.each(PAGES)('the links of %s lead somewhere', (page) => {
  const links = [...readFileSync(page, 'utf8').matchAll(/\]\(([^)#\s]*)(?:#([^)\s]+))?\)/g)];
  expect(links.length).toBeGreaterThan(0);
  for (const [link, path = '', anchor] of links) {
    if (path.startsWith('https://')) continue;
    const target = path === '' ? page : join(dirname(page), path);
    expect(() => readFileSync(target), link).not.toThrow(/ENOENT/);
    if (anchor !== undefined) expect(anchorsOf(target), link).toContain(anchor);
  }
});
