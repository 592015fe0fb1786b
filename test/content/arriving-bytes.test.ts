import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import { ArrivingBytes, bytesIn, type ByteSink } from '../../src/content/store/arriving-bytes.js';
import { GrowingBuffer } from '../../src/content/store/memory-content-store.js';
import { SharedOffset } from '../../src/system/index.js';
import { describing } from './blobs.js';

/** A sink that counts, and that fails where it is told to. */
class WatchedSink implements ByteSink {
  readonly #buffer = new GrowingBuffer();
  readonly written: [at: number, length: number][] = [];
  bytesRead = 0;
  failAt: number | undefined;

  async write(at: number, chunks: readonly Uint8Array[]): Promise<void> {
    if (this.failAt !== undefined && at >= this.failAt) throw new Error('no space');
    this.written.push([at, bytesIn(chunks)]);
    await this.#buffer.write(at, chunks);
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    this.bytesRead += length;
    return this.#buffer.read(at, length);
  }
}

const MiB = 1024 * 1024;

describe('ArrivingBytes', () => {
  const bytes = randomBytes(3 * MiB);

  it('reads nothing back of what comes in order', async () => {
    const sink = new WatchedSink();
    const arriving = new ArrivingBytes(describing(bytes), sink);
    for (let at = 0; at < bytes.length; at += 100_000)
      await arriving.write(at, [bytes.subarray(at, at + 100_000)]);
    await arriving.verify();
    expect(sink.bytesRead).toBe(0);
  });

  it('reads back what came before its turn, once', async () => {
    const sink = new WatchedSink();
    const arriving = new ArrivingBytes(describing(bytes), sink);
    await arriving.write(2 * MiB, [bytes.subarray(2 * MiB)]);
    await arriving.write(0, [bytes.subarray(0, 2 * MiB)]);
    await arriving.verify();
    expect(sink.bytesRead).toBe(MiB);
  });

  it('writes no byte twice', async () => {
    const sink = new WatchedSink();
    const arriving = new ArrivingBytes(describing(bytes), sink);
    await Promise.all([
      arriving.write(10, [bytes.subarray(10, 20)]),
      arriving.write(0, [bytes.subarray(0, 30)]),
      arriving.write(15, [bytes.subarray(15, 40)]),
    ]);
    expect(sink.written.reduce((sum, [, length]) => sum + length, 0)).toBe(40);
  });

  it('hands on large chunks in pieces', async () => {
    const sink = new WatchedSink();
    await new ArrivingBytes(describing(bytes), sink).write(0, [bytes]);
    expect(sink.written).toEqual([[0, MiB], [MiB, MiB], [2 * MiB, MiB]]); // prettier-ignore
  });

  it('goes on after a write that failed halfway', async () => {
    const sink = new WatchedSink();
    const arriving = new ArrivingBytes(describing(bytes), sink);
    sink.failAt = MiB;
    await expect(arriving.write(0, [bytes])).rejects.toThrow('no space');
    expect([arriving.offset, new SharedOffset(arriving.shared).bytes]).toEqual([MiB, MiB]);
    sink.failAt = undefined;
    await arriving.write(0, [bytes]);
    await arriving.verify();
  });

  it('tells readers of bytes only after they were written', async () => {
    const sink = new WatchedSink();
    const arriving = new ArrivingBytes(describing(bytes), sink);
    const sharedOffset = new SharedOffset(arriving.shared);
    const write = sink.write.bind(sink);
    const seen: number[] = [];
    sink.write = async (at, piece) => {
      await write(at, piece);
      seen.push(sharedOffset.bytes);
    };
    await arriving.write(0, [bytes]);
    expect(seen).toEqual([0, MiB, 2 * MiB]);
  });

  it('digests anew what it takes over, and can be stopped while it does', async () => {
    const sink = new WatchedSink();
    await sink.write(0, [bytes.subarray(0, 2 * MiB)]);
    const first = [{ start: 0, end: 2 * MiB }];
    const signal = AbortSignal.abort();
    const stopped = new ArrivingBytes(describing(bytes), sink);
    await expect(stopped.resume(first, { signal })).rejects.toMatchObject({ code: 'ABORTED' });
    const arriving = new ArrivingBytes(describing(bytes), sink);
    await arriving.resume(first);
    expect([arriving.offset, sink.bytesRead]).toEqual([2 * MiB, 2 * MiB]);
    await arriving.write(2 * MiB, [bytes.subarray(2 * MiB)]);
    await arriving.verify();
  });

  it('digests what it takes over beyond the frontier only when the frontier comes there', async () => {
    const sink = new WatchedSink();
    await sink.write(MiB, [bytes.subarray(MiB, 2 * MiB)]);
    const arriving = new ArrivingBytes(describing(bytes), sink);
    await arriving.resume([{ start: MiB, end: 2 * MiB }]);
    expect([arriving.offset, sink.bytesRead, arriving.written.bytes]).toEqual([0, 0, MiB]);
    await arriving.write(0, [bytes.subarray(0, MiB)]);
    expect([arriving.offset, sink.bytesRead]).toEqual([2 * MiB, MiB]);
    await arriving.write(2 * MiB, [bytes.subarray(2 * MiB)]);
    await arriving.verify();
  });
});
