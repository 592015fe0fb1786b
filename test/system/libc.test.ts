import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { errnoName } from '../../src/system/calls/libc.js';
import { fromBytePath, libcAvailable, toBytePath } from '../../src/system/index.js';

const module = pathToFileURL(join(import.meta.dirname, '../../dist/src/system/index.js')).href;

describe('the C library', () => {
  it('is there on this machine', () => {
    expect(libcAvailable()).toBe(true);
  });

  it('is loaded at the first call, not at import', () => {
    const code = `
      import { readFileSync } from 'node:fs';
      const loaded = () => readFileSync('/proc/self/maps', 'utf8').includes('koffi');
      const system = await import(${JSON.stringify(module)});
      const before = loaded();
      system.libcAvailable();
      console.log(before, loaded());`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    expect(output).toBe('false true\n');
  });

  it('is called by several threads at once, each with memory of its own', async () => {
    const code = `
      const { parentPort, workerData } = require('node:worker_threads');
      import(workerData.module).then(({ AT_FDCWD, fstatatIfPresent, symlinkat, readlinkat, unlinkat }) => {
        let wrong = 0;
        for (let i = 0; i < 5000; i++) {
          const name = '/dev/shm/landfall-' + process.pid + '-' + workerData.name.repeat(20) + i;
          symlinkat(workerData.name + i, AT_FDCWD, name);
          if (readlinkat(AT_FDCWD, name) !== workerData.name + i) wrong++;
          if (fstatatIfPresent(AT_FDCWD, name)?.size !== (workerData.name + i).length) wrong++;
          unlinkat(AT_FDCWD, name);
          if (fstatatIfPresent(AT_FDCWD, name) !== undefined) wrong++;
        }
        parentPort.postMessage(wrong);
      });`;
    const workers = ['a', 'b', 'c'].map(
      (name) => new Worker(code, { eval: true, workerData: { module, name } }),
    );
    expect(await Promise.all(workers.map((worker) => once(worker, 'message')))).toEqual([[0], [0], [0]]);
  });
});

describe('errno', () => {
  it.each([
    [2, 'ENOENT'],
    [11, 'EAGAIN'],
    [28, 'ENOSPC'],
    [95, 'ENOTSUP'],
    [122, 'EDQUOT'],
    [61, 'ENODATA'],
    [999, 'E999'],
  ])('%i is %s', (number, name) => {
    expect(errnoName(number)).toBe(name);
  });
});

describe('BytePath', () => {
  it.each(['plain', 'naïve', '日本', ''])('holds the UTF-8 of %j', (text) => {
    expect(Buffer.from(toBytePath(text), 'latin1').equals(Buffer.from(text, 'utf8'))).toBe(true);
    expect(fromBytePath(toBytePath(text))).toBe(text);
  });

  it('shows what is not UTF-8 as U+FFFD', () => {
    expect(fromBytePath('a\xffb')).toBe('a�b');
  });
});
