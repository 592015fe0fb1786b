/*
 * A process of its own on a store, for tests of crashes and races: node store-process.js COMMAND ROOT [FILE…].
 * It is plain JavaScript on the built code, since a child process cannot load TypeScript. Lines of JSON on standard
 * output say what it has reached.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { setInterval } from 'node:timers';

import {
  expirePartials,
  ImageStore,
  LeaseStore,
  LocalContentStore,
  openLayout,
} from '../../dist/src/content/index.js';

const [command, root, ...files] = process.argv.slice(2);

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function describing(bytes) {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { mediaType: 'application/octet-stream', digest, size: bytes.length };
}

/** The signal to go on, so that several processes do so at once. */
function go() {
  return new Promise((resolve) => process.stdin.once('data', resolve));
}

const forever = () => new Promise(() => setInterval(() => undefined, 60_000));

async function bringIn(store, bytes) {
  const writer = await store.ingest(describing(bytes));
  if (writer === undefined) return { outcome: 'present' };
  try {
    const from = writer.frontier;
    for (let at = from; at < bytes.length; at += 65_536) {
      await writer.write(at, bytes.subarray(at, at + 65_536));
    }
    await writer.commit();
    return { outcome: 'committed', from };
  } finally {
    await writer[Symbol.asyncDispose]();
  }
}

const commands = {
  /** Writes the first half in order, and then nothing more. */
  async half(store, [bytes]) {
    const writer = await store.ingest(describing(bytes));
    await writer.write(0, bytes.subarray(0, bytes.length / 2));
    say({ frontier: writer.frontier });
    await forever();
  },

  /** Writes a quarter from 0 and the third quarter, and then nothing more. */
  async islands(store, [bytes]) {
    const writer = await store.ingest(describing(bytes));
    const quarter = bytes.length / 4;
    await writer.write(0, bytes.subarray(0, quarter));
    await writer.write(quarter * 2, bytes.subarray(quarter * 2, quarter * 3));
    say({ frontier: writer.frontier });
    await forever();
  },

  async bring(store, all) {
    say('ready');
    await go();
    for (const bytes of all) say(await bringIn(store, bytes));
  },

  /** Puts images, one for each file, named by its place in the list and this process. */
  async images(store, all, { database }) {
    const images = new ImageStore(root, database);
    for (const [index, bytes] of all.entries()) {
      const name = `docker.io/library/p${process.pid}:${index}`;
      await images.put({ name, target: describing(bytes) });
    }
    say('put');
  },

  async lease(_store, [bytes], { database }) {
    const lease = await new LeaseStore(database).create({ ttlMs: 1500 });
    await lease.addBlob(describing(bytes).digest);
    say('leased');
    await forever();
  },

  /** On a file system of 4 MiB: fills it, then has it made larger and goes on. Run by `unshare -m`. */
  async fill(store, [bytes], { database }) {
    const report = {};
    const attempt = await store.ingest(describing(bytes));
    try {
      for (let at = 0; at < bytes.length; at += 65_536)
        await attempt.write(at, bytes.subarray(at, at + 65_536));
    } catch (error) {
      report.write = error.toJSON();
    }
    report.frontier = attempt.frontier;
    await attempt[Symbol.asyncDispose]();
    report.info = (await store.info(describing(bytes).digest)) ?? null;
    execFileSync('mount', ['-o', 'remount,size=64m', root]);
    report.next = await bringIn(store, bytes);
    report.integrity = await database.get('PRAGMA integrity_check');
    say(report);
  },
};

if (command === 'open') {
  say('ready');
  await go();
  const database = await openLayout(root);
  await database.close();
  say('opened');
} else if (command === 'expire') {
  const database = await openLayout(root);
  say((await expirePartials(root, { olderThanMs: 0 })).length);
  await database.close();
} else {
  if (command === 'fill') execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', root]);
  const database = await openLayout(root);
  const store = new LocalContentStore(root, database);
  await commands[command](
    store,
    files.map((file) => readFileSync(file)),
    { database },
  );
  await database.close();
}
// A listener on standard input would keep the process.
process.stdin.destroy();
