import { EventEmitter } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { main } from '../../src/cli/main.js';
import { readTables } from './store-tables.js';
import type { ServedCommand, ServedResult, ServedTables, TablesWanted } from './warm-command.js';

/**
 * A process that runs the built command again and again, each command line after the other, with what it is
 * sent as its surroundings; so that not each of a test's many commands pays for a start of Node.js. See
 * `warm-command.ts`.
 */
async function serve({ args, env, input }: ServedCommand): Promise<ServedResult> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const outputs = Promise.all([text(stdout), text(stderr)]);
  const stdin = Readable.from(input === '' ? [] : [Buffer.from(input)]);
  const signals = Object.assign(new EventEmitter(), { exit: (code: number) => process.exit(code) });
  const uid = process.geteuid?.() ?? 0;
  const code = await main(args, { env, stdin, stdout, stderr, uid }, signals);
  stdout.end();
  stderr.end();
  const [said, reported] = await outputs;
  return { code, stdout: said, stderr: reported };
}

async function tablesOf({ tables: root }: TablesWanted): Promise<ServedTables> {
  return await readTables(root).then(
    (tables) => ({ tables }),
    (error: unknown) => ({ error: String(error) }),
  );
}

process.on('message', (command: ServedCommand | TablesWanted) => {
  void ('tables' in command ? tablesOf(command) : serve(command)).then((result) => process.send?.(result));
});
process.on('disconnect', () => process.exit());
