/**
 * Makes the manual pages of what `--help` says: `dist/man/landfall.1`, `landfall-pull.1` and so on. `npm
 * install -g` puts them where man finds them.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createProgram } from '../src/cli/program.js';
import { version } from '../src/cli/output/version.js';
import { pageOf, renderManPage } from './render-man-page.js';

const MAN = join(import.meta.dirname, '..', 'man');

const program = createProgram(() => Promise.resolve());
// Those of commands that are no more would be installed too.
await rm(MAN, { recursive: true, force: true });
await mkdir(MAN, { recursive: true });
for (const command of [program, ...program.commands]) {
  await writeFile(join(MAN, `${pageOf(command)}.1`), renderManPage(command, version()));
}
