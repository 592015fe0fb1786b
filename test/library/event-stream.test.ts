import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { abortedError } from '../../src/errors.js';
import { type EventStream, eventStream, type Emitted } from '../../src/library/event-stream.js';
import { deferred } from '../../src/concurrency/index.js';

/** `a 1` tells how far `a` is; `done` is the last. */
const subject = (event: string): string | undefined =>
  / \d+$/.test(event) ? event.replace(/ \d+$/, '') : undefined;

/** A stream whose operation is led by hand. */
function led(signal?: AbortSignal): {
  readonly stream: EventStream<string>;
  readonly reported: Promise<Emitted<string>>;
  readonly finish: (last: string) => void;
  readonly fail: (error: unknown) => void;
} {
  const begun = deferred<Emitted<string>>();
  const ended = deferred<string>();
  const stream = eventStream<string>({
    signal,
    run: (reported) => {
      begun.resolve(reported);
      return ended.promise;
    },
    subject,
  });
  return { stream, reported: begun.promise, finish: ended.resolve, fail: ended.reject };
}

async function collect(stream: AsyncIterable<string>): Promise<string[]> {
  const events: string[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

describe('a stream of events', () => {
  it('gives what is told in its order, and the result last', async () => {
    const { stream, reported, finish } = led();
    const events = collect(stream);
    const { emit } = await reported;
    for (const event of ['begun', 'a 1', 'ended']) emit(event);
    finish('done');
    expect(await events).toEqual(['begun', 'a 1', 'ended', 'done']);
  });

  it('begins nothing before somebody listens', async () => {
    let begun = 0;
    const stream = eventStream<string>({
      run: () => Promise.resolve(`run ${++begun} times`),
      subject: () => undefined,
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun).toBe(0);
    expect(await collect(stream)).toEqual(['run 1 times']);
    expect(await collect(stream)).toEqual([]);
    expect(begun).toBe(1);
  });

  it('holds one event of each subject for who is slow, the latest, where it was told', async () => {
    const { stream, reported, finish } = led();
    const first = stream.next();
    const { emit } = await reported;
    emit('begun');
    expect(await first).toEqual({ done: false, value: 'begun' });
    for (let n = 0; n < 100_000; n++) {
      emit(`a ${n}`);
      if (n % 2 === 0) emit(`b ${n}`);
    }
    emit('between');
    emit('a 100000');
    finish('done');
    expect(await collect(stream)).toEqual(['b 99998', 'between', 'a 100000', 'done']);
  });

  it('throws out of the loop what the operation fails with, after what was told before', async () => {
    const { stream, reported, fail } = led();
    const events: string[] = [];
    const loop = (async () => {
      for await (const event of stream) events.push(event);
    })();
    (await reported).emit('begun');
    fail(new Error('no more'));
    await expect(loop).rejects.toThrow('no more');
    expect(events).toEqual(['begun']);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it.each(['break', 'throw'] as const)('aborts on %s, and goes on when all is cleaned up', async (how) => {
    const order: string[] = [];
    const stream = eventStream<string>({
      run: async ({ emit, signal }) => {
        emit('begun');
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        await new Promise((resolve) => setTimeout(resolve, 10));
        order.push('cleaned up');
        throw abortedError(signal);
      },
      subject: () => undefined,
    });
    const loop = (async () => {
      for await (const event of stream) {
        expect(event).toBe('begun');
        if (how === 'throw') throw new Error('of the loop');
        break;
      }
    })();
    if (how === 'throw') await expect(loop).rejects.toThrow('of the loop');
    else await loop;
    order.push('left');
    expect(order).toEqual(['cleaned up', 'left']);
  });

  it('can be left while somebody waits for the next event', async () => {
    const { stream, reported, finish } = led();
    const waiting = stream.next();
    const { signal } = await reported;
    signal.addEventListener('abort', () => finish('too late'));
    await stream.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  it('is never begun when it was left before', async () => {
    const stream = eventStream<string>({
      run: () => Promise.reject(new Error('begun')),
      subject: () => undefined,
    });
    await using left = stream;
    await left.return();
    expect(await left.next()).toEqual({ done: true, value: undefined });
  });

  it("is aborted by the caller's signal, and leaves no listener on it", async () => {
    const controller = new AbortController();
    const { stream, reported, fail } = led(controller.signal);
    const loop = collect(stream);
    const { signal } = await reported;
    signal.addEventListener('abort', () => fail(abortedError(signal)));
    controller.abort(new Error('enough'));
    await expect(loop).rejects.toMatchObject({ code: 'ABORTED', cause: { message: 'enough' } });
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });
});
