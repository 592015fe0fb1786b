/**
 * Makes a release of the commit that is checked out, in `release/`: see CONTRIBUTING.md. It publishes
 * nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeRelease } from './release/make-release.js';
import { runProgram } from './release/run-program.js';

const { values } = parseArgs({ options: { 'dry-run': { type: 'boolean', default: false } } });
const work = await mkdtemp(join(tmpdir(), 'landfall-release-'));
try {
  await makeRelease({
    root: join(import.meta.dirname, '..', '..'),
    work,
    date: new Date().toISOString().slice(0, 10),
    dryRun: values['dry-run'],
    run: runProgram,
    emit: (line) => {
      console.log(line);
    },
  });
} catch (error) {
  console.error(`release: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  await rm(work, { recursive: true, force: true });
}
