/** Writes docs/licences.md anew, from package-lock.json and what is installed. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { licenceList, renderLicences } from './licence-list.js';
import { parsePackageLock } from './package-lock.js';

const ROOT = join(import.meta.dirname, '..', '..');

const lock = parsePackageLock(await readFile(join(ROOT, 'package-lock.json'), 'utf8'));
const bill = await readFile(join(ROOT, 'dist/sbom.cdx.json'), 'utf8');
const list = await licenceList(lock, bill, join(ROOT, 'node_modules'));
await writeFile(join(ROOT, 'docs', 'licences.md'), renderLicences(lock, list));
