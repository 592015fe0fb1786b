import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { SharedOffset } from '../../src/system/index.js';

const module = pathToFileURL(join(import.meta.dirname, '../../dist/src/system/shared-offset.js')).href;

/** Waits for every byte in turn, as a reader of a growing file does, and says how it ended. */
const READER = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.module).then(async ({ SharedOffset }) => {
    const frontier = new SharedOffset(workerData.buffer);
    parentPort.postMessage('ready');
    let at = 0;
    let steps = 0;
    let backwards = 0;
    while (at < frontier.bytes || frontier.state === 'growing') {
      await frontier.wait(at);
      if (frontier.bytes < at) backwards++;
      at = frontier.bytes;
      steps++;
      Atomics.store(workerData.seen, 0, at);
    }
    parentPort.postMessage({ at, steps, backwards, state: frontier.state });
  });
`;

interface Ending {
  at: number;
  steps: number;
  backwards: number;
  state: string;
}

/** @param seen where the reader tells how far it is */
function reader(sharedOffset: SharedOffset, seen = new Int32Array(new SharedArrayBuffer(4))): Worker {
  return new Worker(READER, { eval: true, workerData: { module, buffer: sharedOffset.buffer, seen } });
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('SharedOffset', () => {
  it('starts empty and growing, and is the same seen through its buffer', () => {
    const writer = new SharedOffset();
    const other = new SharedOffset(writer.buffer);
    expect([other.bytes, other.state]).toEqual([0, 'growing']);
    writer.advance(10);
    writer.complete();
    expect([other.bytes, other.state]).toEqual([10, 'complete']);
  });

  it('counts beyond 32 bits', () => {
    const sharedOffset = new SharedOffset();
    sharedOffset.advance(2 ** 40 + 1);
    expect(sharedOffset.bytes).toBe(2 ** 40 + 1);
  });

  it('never goes back, and ends once', () => {
    const sharedOffset = new SharedOffset();
    sharedOffset.advance(10);
    sharedOffset.advance(5);
    expect(sharedOffset.bytes).toBe(10);
    sharedOffset.fail();
    sharedOffset.complete();
    sharedOffset.advance(20);
    expect([sharedOffset.bytes, sharedOffset.state]).toEqual([10, 'failed']);
  });

  it.each([
    ['there is more already', (f: SharedOffset): void => f.advance(6)],
    ['it is complete', (f: SharedOffset): void => f.complete()],
    ['it failed', (f: SharedOffset): void => f.fail()],
  ])('does not wait when %s, nor any longer once so', async (_, change) => {
    const waiting = new SharedOffset();
    waiting.advance(5);
    let done = false;
    const wait = waiting.wait(5).then(() => {
      done = true;
    });
    waiting.advance(5);
    await nextTurn();
    await nextTurn();
    expect(done).toBe(false);
    change(waiting);
    await wait;
    await waiting.wait(5);
  });

  it('gives up after the time given, and resolves', async () => {
    const sharedOffset = new SharedOffset();
    await sharedOffset.wait(0, { timeoutMs: 20 });
    await sharedOffset.wait(0, { timeoutMs: 0 });
    expect(sharedOffset.state).toBe('growing');
  });

  it('rejects when the signal is aborted, before and while it waits, and listens no more after', async () => {
    const sharedOffset = new SharedOffset();
    const controller = new AbortController();
    const wait = sharedOffset.wait(0, { signal: controller.signal });
    controller.abort();
    await expect(wait).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(sharedOffset.wait(0, { signal: controller.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
    // The waits of others are not disturbed by one that was given up.
    const other = sharedOffset.wait(0);
    sharedOffset.advance(1);
    await other;
  });

  it('wakes all who wait, on all threads', async () => {
    const sharedOffset = new SharedOffset();
    const workers = [reader(sharedOffset), reader(sharedOffset)];
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const endings = Promise.all(workers.map((worker) => once(worker, 'message')));
    const here = Promise.all(Array.from({ length: 50 }, () => sharedOffset.wait(0)));
    sharedOffset.advance(1);
    await here;
    sharedOffset.fail();
    for (const [ending] of (await endings) as [Ending][]) {
      expect(ending).toMatchObject({ state: 'failed', backwards: 0 });
      expect(ending.at).toBeLessThanOrEqual(1);
    }
  });

  it('loses no wake-up: readers on two threads follow 100,000 advances to the end', async () => {
    const sharedOffset = new SharedOffset();
    const seen = [0, 1].map(() => new Int32Array(new SharedArrayBuffer(4)));
    const workers = seen.map((place) => reader(sharedOffset, place));
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    const endings = Promise.all(workers.map((worker) => once(worker, 'message')));
    for (let at = 1; at <= 100_000; at++) {
      sharedOffset.advance(at);
      // Lets the readers go to sleep again and again, at every distance from the next advance.
      if (at % 64 === 0) await nextTurn();
      // Once in a while all catch up, so that they slept often on a busy machine too.
      while (at % 500 === 0 && seen.some((place) => Atomics.load(place, 0) < at)) await nextTurn();
    }
    sharedOffset.complete();
    for (const [ending] of (await endings) as [Ending][]) {
      expect(ending).toMatchObject({ at: 100_000, state: 'complete', backwards: 0 });
      expect(ending.steps).toBeGreaterThan(100);
    }
  });

  it('loses no wake-up when two threads answer one another', async () => {
    const [ping, pong] = [new SharedOffset(), new SharedOffset()];
    const answerer = new Worker(
      `const { workerData } = require('node:worker_threads');
       import(workerData.module).then(async ({ SharedOffset }) => {
         const ping = new SharedOffset(workerData.ping);
         const pong = new SharedOffset(workerData.pong);
         for (let i = 0; i < 20_000; i++) {
           await ping.wait(i);
           pong.advance(i + 1);
         }
       });`,
      { eval: true, workerData: { module, ping: ping.buffer, pong: pong.buffer } },
    );
    const ended = once(answerer, 'exit');
    for (let i = 0; i < 20_000; i++) {
      ping.advance(i + 1);
      await pong.wait(i);
    }
    await ended;
    expect(pong.bytes).toBe(20_000);
  });

  it('keeps the event loop alive while something waits, and no longer', () => {
    const run = (code: string): string =>
      execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    const start = `const { SharedOffset } = await import(${JSON.stringify(module)});
      const { Worker } = await import('node:worker_threads');
      const frontier = new SharedOffset();`;
    const elsewhere = `const worker = new Worker(\`
        const { workerData } = require('node:worker_threads');
        setTimeout(() => import(workerData.module).then(({ SharedOffset }) => new SharedOffset(workerData.buffer).advance(1)), 100);
      \`, { eval: true, execArgv: [], workerData: { module: ${JSON.stringify(module)}, buffer: frontier.buffer } });
      worker.unref();`;
    expect(run(`${start} ${elsewhere} frontier.wait(0).then(() => console.log('woken'));`)).toBe('woken\n');
    expect(run(`${start} await frontier.wait(0, { timeoutMs: 1 }); console.log('over');`)).toBe('over\n');
  });

  it('may be waited for by a thread that is terminated', async () => {
    const sharedOffset = new SharedOffset();
    for (let i = 0; i < 10; i++) {
      const worker = reader(sharedOffset);
      await once(worker, 'message');
      await worker.terminate();
      sharedOffset.advance(i + 1);
    }
    expect(sharedOffset.bytes).toBe(10);
  });
});
