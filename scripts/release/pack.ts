import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunProgram } from './run-program.js';

/**
 * The archive that npm makes of what is built, without building it again.
 *
 * @returns its path below `into`
 */
export async function pack(run: RunProgram, tree: string, into: string): Promise<string> {
  await mkdir(into, { recursive: true });
  const said = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', into], {
    cwd: tree,
  });
  const [packed] = JSON.parse(said) as { readonly filename: string }[];
  if (packed === undefined) throw new Error('npm pack has packed nothing');
  return join(into, packed.filename);
}

/** @returns the sha256 of a file, in hexadecimal */
export async function sha256Of(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}
