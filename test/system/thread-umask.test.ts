import { Worker } from 'node:worker_threads';
import { statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { clearThreadUmask, threadUmaskIsClear } from '../../src/system/index.js';

const SYSTEM = new URL('../../dist/src/system/index.js', import.meta.url).href;

let root = '';
let umask = 0;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'landfall-thread-'));
  umask = process.umask(0o027);
});
afterEach(async () => {
  process.umask(umask);
  await rm(root, { recursive: true });
});

const modeOf = (name: string): number => statSync(join(root, name)).mode & 0o777;

test('a thread has a umask of its own, which is 0', async () => {
  const script = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { openSync, closeSync } = require('node:fs');
    const make = (name) => closeSync(openSync(workerData + '/' + name, 'w', 0o666));
    import(${JSON.stringify(SYSTEM)}).then(({ clearThreadUmask, threadUmaskIsClear }) => {
      make('before');
      const found = [threadUmaskIsClear()];
      clearThreadUmask();
      clearThreadUmask();
      make('after');
      parentPort.postMessage([...found, threadUmaskIsClear(), process.umask()]);
    });`;
  const worker = new Worker(script, { eval: true, workerData: root });
  const exited = once(worker, 'exit');
  const [reported] = (await once(worker, 'message')) as unknown[];
  expect(reported).toEqual([false, true, 0]);
  expect([modeOf('before'), modeOf('after')]).toEqual([0o640, 0o666]);
  await writeFile(join(root, 'beside'), '', { mode: 0o666 });
  expect([process.umask(0), modeOf('beside')]).toEqual([0o027, 0o640]);
  await exited;
});

test('the main thread keeps what the program gave it', () => {
  clearThreadUmask();
  expect([threadUmaskIsClear(), process.umask(0)]).toEqual([false, 0o027]);
});
