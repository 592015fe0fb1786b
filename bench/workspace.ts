import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { endAll } from './bound-process.js';
import { insideNamespace, interruption, mountTmpfs, runInNamespace, whyNoNamespace } from './namespace.js';

/** Where a benchmark works; all of it is removed when it ends, also when it is interrupted. */
export interface Workspace {
  /** On tmpfs where one can be mounted. */
  readonly work: string;
  /** Below the directory that was asked for. */
  readonly disk: string;
  /** Aborted at SIGINT and SIGTERM, when all bound processes have been asked to end. */
  readonly signal: AbortSignal;
}

const DIRECTORY = 'LANDFALL_BENCH_DIRECTORY';

/**
 * Runs a benchmark with a workspace below a directory, and returns its exit code. As root it runs in
 * namespaces of its own, for which the whole program is started once more, so this must be all that the
 * program does.
 *
 * @param say tells where there is no tmpfs
 */
export async function inWorkspace(
  parent: string,
  run: (workspace: Workspace) => Promise<number>,
  say: (text: string) => void,
): Promise<number> {
  const given = process.env[DIRECTORY];
  if (insideNamespace() && given !== undefined) return await runBelow(given, true, run);
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(join(parent, 'landfall-bench-'));
  try {
    const reason = whyNoNamespace();
    if (reason === undefined) return await runInNamespace({ [DIRECTORY]: directory });
    say(`${reason}: no tmpfs, so stores are on a disk, and peers that need root are left out`);
    return await runBelow(directory, false, run);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function runBelow(
  directory: string,
  mayMount: boolean,
  run: (workspace: Workspace) => Promise<number>,
): Promise<number> {
  const signal = interruption();
  signal.addEventListener('abort', endAll);
  const work = join(directory, 'work');
  const disk = join(directory, 'disk');
  await mkdir(disk);
  await (mayMount ? mountTmpfs(work) : mkdir(work));
  return await run({ work, disk, signal });
}
