import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

import type { Place } from './mount-namespace.js';

const DATABASE = new URL('../../dist/src/metadata/index.js', import.meta.url);

/**
 * The log is written over from its beginning once it was brought into the database, as long as somebody has
 * the database open. 2,000 pages: no pull gets behind what is there already.
 */
const SCRIPT = `
import { MetadataDatabase } from ${JSON.stringify(DATABASE.href)};
const database = await MetadataDatabase.open(process.argv[1] + '/metadata.db', { create: false });
await database.run("INSERT INTO leases (id, created_at, expires_at) VALUES (hex(zeroblob(4000000)), 0, 0)");
await database.run('DELETE FROM leases WHERE expires_at = 0');
await database.run('PRAGMA wal_checkpoint(FULL)');
// Nobody listens any more when the test has died.
setInterval(() => process.stdout.write('open\\n'), 200);
process.stdout.write('open\\n');
`;

/**
 * Keeps a store's database open, as a daemon does beside the command, with a write-ahead log that has its
 * full length already. A transaction then changes no file's length, so to sync it brings no other file's name
 * to the disk.
 */
export async function holdDatabase(place: Place, root: string): Promise<AsyncDisposable> {
  let holder: ChildProcess | undefined;
  const ended = place.run(process.execPath, ['--input-type=module', '-e', SCRIPT, root], {
    onStart: (child) => {
      holder = child;
    },
  });
  const stdout = holder?.stdout ?? undefined;
  if (stdout === undefined) throw new Error('the holder of the database was not started');
  const end = async (): Promise<void> => {
    holder?.kill('SIGKILL');
    await ended;
  };
  const begun = await Promise.race([
    once(stdout, 'data').then(() => 'open'),
    ended.then(({ stderr }) => stderr),
  ]);
  if (begun !== 'open') throw new Error(`the database could not be held:\n${begun}`);
  return { [Symbol.asyncDispose]: end };
}
