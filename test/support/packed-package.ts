import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const REPOSITORY = resolve(import.meta.dirname, '../..');

let packing: Promise<string> | undefined;

/**
 * What `npm pack` makes of the build that is there, once for a test file. Gone when the process ends.
 *
 * @returns the path of the archive
 */
export async function packedPackage(): Promise<string> {
  return await (packing ??= pack());
}

async function pack(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-packed-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  // Without scripts, since that of `prepare` would build what other tests are using at this moment.
  const { stdout } = await promisify(execFile)(
    'npm',
    ['pack', '--ignore-scripts', '--json', '--pack-destination', directory],
    {
      cwd: REPOSITORY,
      maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, npm_config_update_notifier: 'false' },
    },
  );
  const [packed] = JSON.parse(stdout) as { filename: string }[];
  if (packed === undefined) throw new Error('npm pack has packed nothing');
  return join(directory, packed.filename);
}
