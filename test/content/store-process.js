/*
 * A process of its own on a store, for tests of crashes and races: node store-process.js COMMAND ROOT [FILE…].
 * It is plain JavaScript on the built code, since a child process cannot load TypeScript. Lines of JSON on standard
 * output say what it has reached.
 */
import { Buffer } from 'node:buffer';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setInterval } from 'node:timers';

import {
  expirePartials,
  ImageStore,
  LeaseStore,
  LocalContentStore,
  openLayout,
} from '../../dist/src/content/index.js';
import { requireSpace } from '../../dist/src/engine/pull/require-space.js';

const MiB = 1024 * 1024;
const [command, root, ...files] = process.argv.slice(2);

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function describing(bytes) {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { mediaType: 'application/octet-stream', digest, size: bytes.length };
}

/** Makes room on the small file system. What mount(8) knows of it by itself, a user namespace would refuse. */
function enlarge() {
  execFileSync('mount', ['--options-mode=ignore', '-o', 'remount,size=64m', 'tmpfs', root]);
}

/** The signal to go on, so that several processes do so at once. */
function go() {
  return new Promise((resolve) => process.stdin.once('data', resolve));
}

const forever = () => new Promise(() => setInterval(() => undefined, 60_000));

async function writeSpan(writer, bytes, { start, end }) {
  for (let at = start; at < end; at += 65_536) {
    await writer.write(at, bytes.subarray(at, Math.min(at + 65_536, end)));
  }
}

async function bringIn(store, bytes) {
  const writer = await store.ingest(describing(bytes));
  if (writer === undefined) return { outcome: 'present' };
  try {
    const from = writer.offset;
    const missing = writer.missing();
    for (const span of missing) await writeSpan(writer, bytes, span);
    await writer.commit();
    return { outcome: 'committed', from, missing };
  } finally {
    await writer[Symbol.asyncDispose]();
  }
}

/** Takes all the space that is left. */
function fill() {
  for (let size = 65_536; size >= 1; size = size > 4096 ? 4096 : size > 1 ? 1 : 0) {
    try {
      for (;;) appendFileSync(join(root, 'filler'), Buffer.alloc(size));
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error;
    }
  }
}

function failureOf(promise) {
  return promise.then(
    () => null,
    (error) => error.code,
  );
}

function namesBelow(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

const commands = {
  /** Writes the first half in order, and then nothing more. */
  async half(store, [bytes]) {
    const writer = await store.ingest(describing(bytes));
    await writer.write(0, bytes.subarray(0, bytes.length / 2));
    say({ offset: writer.offset });
    await forever();
  },

  /** Writes a quarter from 0 and the third quarter, and then nothing more. */
  async islands(store, [bytes]) {
    const writer = await store.ingest(describing(bytes));
    const quarter = bytes.length / 4;
    await writer.write(0, bytes.subarray(0, quarter));
    await writer.write(quarter * 2, bytes.subarray(quarter * 2, quarter * 3));
    say({ offset: writer.offset });
    await forever();
  },

  /** Writes five of six MiB in no order, and then nothing more. */
  async scattered(store, [bytes]) {
    const writer = await store.ingest(describing(bytes));
    const pieces = bytes.length / MiB;
    const written = [];
    for (let i = 0; i < (pieces * 5) / 6; i += 1) {
      const start = ((i * 37) % pieces) * MiB;
      await writer.write(start, bytes.subarray(start, start + MiB));
      written.push(start);
    }
    say(written);
    await forever();
  },

  /** Writes most of a blob in eight parts at once, as eight connections bring them, says how many bytes, and never ends. */
  async parts(store, [bytes]) {
    const writer = await store.ingest(describing(bytes));
    const part = bytes.length / 8;
    const piece = 64 * 1024;
    const bring = async (start) => {
      for (let at = start; at < start + part - piece; at += piece)
        await writer.write(at, bytes.subarray(at, at + piece));
    };
    await Promise.all(Array.from({ length: 8 }, (_, i) => bring(i * part)));
    say(bytes.length - 8 * piece);
    await forever();
  },

  /** Brings blobs in and deletes them, until it is killed. */
  async churn(store, all) {
    say('ready');
    for (;;) {
      for (const bytes of all) {
        await bringIn(store, bytes);
        await store.delete(describing(bytes).digest).catch(() => undefined);
        const abandoned = await store.ingest(describing(bytes));
        await abandoned?.write(bytes.length / 2, bytes.subarray(bytes.length / 2));
        await abandoned?.discard();
      }
    }
  },

  /** As somebody who may not write what is read-only. */
  async unprivileged(store, [bytes, other]) {
    // What is loaded at its first use must be loaded before.
    await bringIn(store, other);
    execFileSync('chown', ['-R', '65534:65534', root]);
    process.seteuid(65534);
    say(await bringIn(store, bytes));
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

  /** On a file system of 4 MiB: fills it, then has it made larger and goes on. Run by `unshare`. */
  async fill(store, [bytes], { database }) {
    const report = {};
    const attempt = await store.ingest(describing(bytes));
    try {
      for (let at = 0; at < bytes.length; at += 65_536)
        await attempt.write(at, bytes.subarray(at, at + 65_536));
    } catch (error) {
      report.write = error.toJSON();
    }
    report.offset = attempt.offset;
    await attempt[Symbol.asyncDispose]();
    report.info = (await store.info(describing(bytes).digest)) ?? null;
    enlarge();
    report.next = await bringIn(store, bytes);
    report.integrity = await database.get('PRAGMA integrity_check');
    say(report);
  },

  /** The same with bytes that come in no order. */
  async fillScattered(store, [bytes], { database }) {
    const report = { written: 0 };
    const attempt = await store.ingest(describing(bytes));
    const pieces = bytes.length / 65_536;
    for (let i = 0; i < pieces && report.write === undefined; i += 1) {
      const at = ((i * 37) % pieces) * 65_536;
      await attempt.write(at, bytes.subarray(at, at + 65_536)).then(
        () => (report.written += 65_536),
        (error) => (report.write = error.toJSON()),
      );
    }
    // The state needs room too.
    rmSync(join(root, 'filler'));
    await attempt[Symbol.asyncDispose]();
    enlarge();
    report.next = await bringIn(store, bytes);
    report.integrity = await database.get('PRAGMA integrity_check');
    say(report);
  },

  /** Asks for all that is free, and for one byte more. */
  async fillPreflight(content) {
    const { bavail, bsize } = statfsSync(root);
    const available = bavail * bsize;
    const ask = (size) =>
      requireSpace({ root, content, descriptors: [{ ...describing(Buffer.from('absent')), size }] }).then(
        () => null,
        ({ code, details }) => ({ code, needed: details.needed, available: details.available }),
      );
    say({ available, exact: await ask(available), more: await ask(available + 1) });
  },

  /** Finds no space for anything but the blob's own bytes. */
  async fillAround(store, [bytes, begun], { database }) {
    const report = {};
    const writer = await store.ingest(describing(bytes));
    await writer.write(0, bytes);
    const partial = await store.ingest(describing(begun));
    await partial.write(0, begun.subarray(0, 1000));
    fill();
    const other = describing(Buffer.from('other'));
    const none = await store.ingest(other);
    report.begin = await failureOf(none.write(0, Buffer.from('oth')));
    report.whole = await failureOf(none.write(0, Buffer.from('other')));
    await none[Symbol.asyncDispose]();
    report.outOfOrder = await failureOf(partial.write(2000, begun.subarray(2000, 3000)));
    report.offset = partial.offset;
    await partial[Symbol.asyncDispose]();
    report.commit = await failureOf(writer.commit());
    await writer[Symbol.asyncDispose]();
    report.info = (await store.info(describing(bytes).digest)) ?? null;
    report.ingest = namesBelow(join(root, 'ingest'));
    report.blobs = namesBelow(join(root, 'blobs'));
    rmSync(join(root, 'filler'));
    report.next = [await bringIn(store, bytes), await bringIn(store, begun)];
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
  if (command.startsWith('fill')) execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', root]);
  if (command === 'fillScattered') appendFileSync(join(root, 'filler'), Buffer.alloc(65_536));
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
