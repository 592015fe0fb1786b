import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { licenceList, renderLicences } from '../../scripts/licence-list.js';
import { parsePackageLock } from '../../scripts/package-lock.js';

const ROOT = resolve(import.meta.dirname, '../..');

/** Licences that let anybody use, change and pass on, and ask for no more than their own text beside it. */
const PERMISSIVE = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
]);

/** Of a choice, one has to be permissive; of what goes together, each. */
function isPermissive(expression: string): boolean {
  const text = expression.replace(/^\((.*)\)$/, '$1');
  if (text.includes(' OR ')) return text.split(' OR ').some(isPermissive);
  return text.split(' AND ').every((id) => PERMISSIVE.has(id));
}

describe('the licences of what comes with landfall', async () => {
  const lock = parsePackageLock(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const bill = readFileSync(join(ROOT, 'dist/sbom.cdx.json'), 'utf8');
  const list = await licenceList(lock, bill, join(ROOT, 'node_modules'));

  it('are permissive, all of them', () => {
    expect(list.length).toBeGreaterThan(40);
    expect(list.filter(({ licence = 'none' }) => !isPermissive(licence))).toEqual([]);
  });

  it.each([
    ['MIT', true],
    ['(MIT OR WTFPL)', true],
    ['(BSD-2-Clause AND MIT)', true],
    ['GPL-3.0-only', false],
    ['MIT AND GPL-3.0-only', false],
    ['SEE LICENSE IN LICENSE', false],
    ['none', false],
  ])('%s is judged', (expression, permissive) => {
    expect(isPermissive(expression)).toBe(permissive);
  });

  it('are on the page that lists them; `npm run licences` writes it anew', () => {
    expect(readFileSync(join(ROOT, 'docs/licences.md'), 'utf8')).toBe(renderLicences(lock, list));
  });
});
