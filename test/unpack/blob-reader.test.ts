import { appendFileSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SharedOffset } from '../../src/system/index.js';
import { readBlob, type BlobReaderOptions } from '../../src/unpack/layer/apply-layer.js';

let root = '';
let blob = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'landfall-blob-'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
beforeEach(() => {
  blob = join(root, 'blob');
  writeFileSync(blob, '');
});

async function readAll(o: BlobReaderOptions): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readBlob(blob, o)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('latin1');
}

/** Waits for what has been asked of the event loop, some turns of it. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
}

function descriptorsOf(path: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  }).length;
}

describe('readBlob', () => {
  it('reads a whole file and tells how far it is', async () => {
    const content = 'x'.repeat(700_000);
    writeFileSync(blob, content);
    const progress: number[] = [];
    const text = await readAll({ size: content.length, onProgress: (bytes) => progress.push(bytes) });
    expect(text === content).toBe(true);
    expect(progress.at(-1)).toBe(content.length);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(descriptorsOf(blob)).toBe(0);
  });

  it('reads nothing of an empty file', async () => {
    expect(await readAll({ size: 0 })).toBe('');
  });

  it('refuses a file that is shorter than the blob', async () => {
    writeFileSync(blob, 'short');
    await expect(readAll({ size: 6 })).rejects.toMatchObject({
      code: 'FILESYSTEM',
      details: { expected: '6', actual: '5' },
    });
    expect(descriptorsOf(blob)).toBe(0);
  });

  it('does not read beyond the size of the blob', async () => {
    writeFileSync(blob, 'blob and more');
    expect(await readAll({ size: 4 })).toBe('blob');
  });

  it('follows a growing file as far as its frontier, and no further', async () => {
    const sharedOffset = new SharedOffset();
    // Bytes are in the file before the offset says so: another range may have been written further on.
    writeFileSync(blob, 'abcXXXXXX');
    sharedOffset.advance(3);
    const reader = readBlob(blob, { size: 9, sharedOffset: sharedOffset.buffer });
    expect((await reader.next()).value?.toString()).toBe('abc');
    let more: string | undefined;
    const next = reader.next().then(({ value }) => (more = value?.toString()));
    await turns();
    expect(more).toBeUndefined();
    writeFileSync(blob, 'abcdefgXX');
    sharedOffset.advance(7);
    await next;
    expect(more).toBe('defg');
    writeFileSync(blob, 'abcdefghi');
    sharedOffset.advance(9);
    sharedOffset.complete();
    expect((await reader.next()).value?.toString()).toBe('hi');
    expect(await reader.next()).toEqual({ done: true, value: undefined });
  });

  it('reads all that was there when the download ended', async () => {
    const sharedOffset = new SharedOffset();
    writeFileSync(blob, 'all of it');
    sharedOffset.complete();
    expect(await readAll({ size: 9, sharedOffset: sharedOffset.buffer })).toBe('all of it');
  });

  it('ends when the download fails', async () => {
    const sharedOffset = new SharedOffset();
    appendFileSync(blob, 'abc');
    sharedOffset.advance(3);
    const reading = readAll({ size: 9, sharedOffset: sharedOffset.buffer });
    await turns();
    sharedOffset.fail();
    await expect(reading).rejects.toMatchObject({ code: 'ABORTED', retryable: true });
    expect(descriptorsOf(blob)).toBe(0);
  });

  it('is aborted while it waits', async () => {
    const controller = new AbortController();
    const reading = readAll({ size: 9, sharedOffset: new SharedOffset().buffer, signal: controller.signal });
    await turns();
    controller.abort();
    await expect(reading).rejects.toMatchObject({ code: 'ABORTED' });
    expect(descriptorsOf(blob)).toBe(0);
  });

  it('closes the file when it is left', async () => {
    writeFileSync(blob, 'x'.repeat(1 << 20));
    for await (const chunk of readBlob(blob, { size: 1 << 20 })) {
      expect(chunk.length).toBeGreaterThan(0);
      expect(descriptorsOf(blob)).toBe(1);
      break;
    }
    expect(descriptorsOf(blob)).toBe(0);
  });

  it('passes on the error of a missing file', async () => {
    rmSync(blob);
    await expect(readAll({ size: 1 })).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
