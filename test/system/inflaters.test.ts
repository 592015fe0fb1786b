import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { deflateRawSync, crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { createInflater, InflateError, probeInflater } from '../../src/system/index.js';
import { needsPeer } from '../support/peers.js';

const module = pathToFileURL(join(import.meta.dirname, '../../dist/src/system/index.js')).href;

/** What stands in a member after its header. */
function memberOf(content: Buffer): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(content), 0);
  trailer.writeUInt32LE(content.length, 4);
  return Buffer.concat([deflateRawSync(content), trailer]);
}

const LIBRARIES = needsPeer('igzip') === undefined ? (['zlib', 'isa-l'] as const) : (['zlib'] as const);

describe.each(LIBRARIES)('%s', (library) => {
  it('is found by having it inflate', () => {
    expect(probeInflater(library)).toEqual({ available: true, detail: expect.any(String) as string });
  });

  it('fills an output of its own size, and says when the member has ended', () => {
    const inflater = createInflater(library);
    const content = Buffer.alloc(1000, 'some text, ');
    inflater.begin();
    const input = Buffer.concat([memberOf(content), Buffer.from('more')]);
    const output = Buffer.alloc(400, '-');
    const first = inflater.step(input, output.subarray(0, 300));
    expect(first).toMatchObject({ produced: 300, ended: false });
    expect(output.toString('latin1')).toBe(`${content.toString('latin1', 0, 300)}${'-'.repeat(100)}`);
    const rest = Buffer.alloc(2000);
    const last = inflater.step(input.subarray(first.consumed), rest);
    expect(last).toMatchObject({ produced: 700, ended: true });
    expect(first.consumed + last.consumed).toBe(input.length - 4);
    inflater.close();
  });

  it('does in another thread what it does in this one', async () => {
    const inflater = createInflater(library);
    const content = Buffer.alloc(100_000, 'some text, ');
    const member = memberOf(content);
    for (let round = 0; round < 3; round++) {
      inflater.begin();
      const output = Buffer.alloc(content.length);
      const { consumed, produced, ended } = await inflater.stepAsync(member, output);
      expect([consumed, produced, output.equals(content)]).toEqual([member.length, content.length, true]);
      expect(ended || inflater.step(Buffer.alloc(0), Buffer.alloc(1)).ended).toBe(true);
    }
    inflater.close();
  });

  it('reports bad data in either way', async () => {
    const inflater = createInflater(library);
    inflater.begin();
    expect(() => inflater.step(Buffer.from([0xff]), Buffer.alloc(10))).toThrow(InflateError);
    inflater.begin();
    await expect(inflater.stepAsync(Buffer.from([0xff]), Buffer.alloc(10))).rejects.toThrow(InflateError);
    inflater.close();
  });

  it('lets nobody in while a step runs', async () => {
    const inflater = createInflater(library);
    inflater.begin();
    const running = inflater.stepAsync(memberOf(Buffer.alloc(10)), Buffer.alloc(10));
    expect(() => inflater.begin()).toThrow(/still running/);
    expect(() => inflater.step(Buffer.alloc(1), Buffer.alloc(1))).toThrow(/still running/);
    await expect(inflater.stepAsync(Buffer.alloc(1), Buffer.alloc(1))).rejects.toThrow(/still running/);
    await running;
    inflater.close();
  });

  it('can be closed while a step runs, and is closed after it', async () => {
    const inflater = createInflater(library);
    inflater.begin();
    const output = Buffer.alloc(10);
    const running = inflater.stepAsync(memberOf(Buffer.from('0123456789')), output);
    inflater.close();
    inflater.close();
    expect((await running).produced).toBe(10);
    expect(output.toString()).toBe('0123456789');
    expect(() => inflater.begin()).toThrow(/closed/);
  });

  it('outlives a worker thread that is ended in the middle of a step', () => {
    const worker = `
      import { parentPort, workerData } from 'node:worker_threads';
      const { createInflater } = await import(workerData.module);
      const inflater = createInflater(workerData.library);
      const input = Buffer.from(workerData.deflated);
      inflater.begin();
      for (let told = false, at = 0; ; told = true) {
        const step = inflater.stepAsync(input.subarray(at), Buffer.alloc(4 << 20));
        if (!told) parentPort.postMessage('running');
        at += (await step).consumed;
      }`;
    const code = `
      import { once } from 'node:events';
      import { deflateRawSync } from 'node:zlib';
      import { Worker } from 'node:worker_threads';
      const deflated = deflateRawSync(Buffer.alloc(64 << 20, 'some text'));
      for (let round = 0; round < 8; round++) {
        const workerData = { module: ${JSON.stringify(module)}, library: ${JSON.stringify(library)}, deflated };
        const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData });
        await once(worker, 'message');
        await worker.terminate();
      }
      console.log('alive');`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    expect(output).toBe('alive\n');
  });
});
