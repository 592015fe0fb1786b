import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** All pages of docs/ but those that typedoc makes, and the one that leads to them. */
export const PAGES: readonly string[] = [
  'README.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md') && !path.startsWith('api/'))
    .map((path) => join('docs', path))
    .sort(),
];
