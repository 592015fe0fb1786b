import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { type PartBody, PartStream } from '../../src/registry/blob-body.js';

/** A body with these batches, and then an error or its end. */
class FakeBody implements PartBody {
  asked = 0;
  /** Calls under way, at most. */
  most = 0;
  #underWay = 0;
  destroyed = 0;
  readonly #batches: string[][];
  readonly #error: Error | undefined;

  constructor(batches: string[][], error?: Error) {
    this.#batches = [...batches];
    this.#error = error;
  }

  async next(): Promise<readonly Uint8Array[] | undefined> {
    this.asked += 1;
    this.#underWay += 1;
    this.most = Math.max(this.most, this.#underWay);
    await new Promise((resolve) => setImmediate(resolve));
    this.#underWay -= 1;
    const batch = this.#batches.shift();
    if (batch === undefined && this.#error !== undefined) throw this.#error;
    return batch?.map((text) => Buffer.from(text));
  }

  destroy(): void {
    this.destroyed += 1;
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('a body as a stream', () => {
  it('gives all of it in order, and ends', async () => {
    const body = new FakeBody([['a', 'b'], ['c'], ['d', 'e', 'f']]);
    expect(String(await buffer(new PartStream(body)))).toBe('abcdef');
    expect(body.destroyed).toBe(1);
  });

  it('asks once at a time, also where a reader asks for more at each chunk', async () => {
    const body = new FakeBody([
      ['a', 'b', 'c'],
      ['d', 'e'],
    ]);
    const stream = new PartStream(body);
    let read = '';
    stream.on('data', (chunk: Buffer) => {
      read += chunk.toString();
      stream.read(0);
    });
    await once(stream, 'end');
    expect(read).toBe('abcde');
    expect(body.most).toBe(1);
  });

  it('that is empty ends', async () => {
    expect(await buffer(new PartStream(new FakeBody([])))).toHaveLength(0);
  });

  it('asks for nothing before it is read, and for little more than that', async () => {
    const large = 'x'.repeat(100_000);
    const body = new FakeBody([[large], [large], [large]]);
    const stream = new PartStream(body);
    await settled();
    expect(body.asked).toBe(0);
    stream.read(0);
    await settled();
    expect(body.asked).toBe(1);
    expect(String(stream.read())).toBe(large);
    await settled();
    expect(body.asked).toBe(2);
    stream.destroy();
  });

  it('fails after all that came before it was read', async () => {
    const stream = new PartStream(new FakeBody([['a'], ['b', 'c']], new Error('cut')));
    stream.read(0);
    await settled();
    expect(stream.destroyed).toBe(false);
    let read = '';
    const reading = async (): Promise<void> => {
      for await (const chunk of stream) read += String(chunk);
    };
    await expect(reading()).rejects.toThrow('cut');
    expect(read).toBe('abc');
  });

  it('that is destroyed destroys the body', async () => {
    const body = new FakeBody([['a']]);
    const stream = new PartStream(body);
    stream.read(0);
    stream.destroy();
    await settled();
    expect(body.destroyed).toBe(1);
    expect(stream.read()).toBeNull();
  });
});
