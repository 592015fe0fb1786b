import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const PAGE = 'docs/library.md';
const EXAMPLES: readonly string[] = readdirSync('examples').map((name) => `examples/${name}`);

/** The file that each block of TypeScript is said to be, and the block. */
function blocksOf(page: string): { readonly file: string | undefined; readonly code: string | undefined }[] {
  const text = readFileSync(page, 'utf8');
  const blocks = text.matchAll(/(?:<!-- (examples\/\S+) -->\n+)?```ts\n(.*?)```/gs);
  return [...blocks].map(([, file, code]) => ({ file, code }));
}

it.each([PAGE, 'README.md'])('%s shows the examples as they are', (page) => {
  const blocks = blocksOf(page);
  expect(blocks.length).toBeGreaterThan(0);
  for (const { file, code } of blocks) expect(code).toBe(readFileSync(file ?? 'a block of no file', 'utf8'));
});

it(`${PAGE} shows all of them`, () => {
  expect(
    blocksOf(PAGE)
      .map(({ file }) => file)
      .sort(),
  ).toEqual([...EXAMPLES].sort());
});

it.each(EXAMPLES)('%s imports the package by its name, and nothing of it that lies deeper', (file) => {
  const imports = [...readFileSync(file, 'utf8').matchAll(/from '([^']+)'/g)].map(([, name]) => name);
  expect(imports).toEqual(expect.arrayContaining([expect.stringMatching(/^landfall(?:\/[a-z]+)?$/)]));
  for (const name of imports) expect(name).toMatch(/^(?:landfall(?:\/[a-z]+)?|node:.+)$/);
});

it(`${PAGE} tells of every entry`, () => {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: object };
  const entries = Object.keys(manifest.exports)
    .filter((path) => path !== './package.json')
    .map((path) => `landfall${path.slice(1)}`);
  const reported = [...readFileSync(PAGE, 'utf8').matchAll(/^\| `(landfall[a-z/]*)` /gm)].map(
    ([, name]) => name,
  );
  expect(reported.sort()).toEqual(entries.sort());
});
