import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { deferred, pause, untilAborted, WaitingLine } from '../../src/concurrency/index.js';

const ABORTED = expect.objectContaining({ code: 'ABORTED' }) as Error;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('waiting for a promise', () => {
  it.each<[string, (ended: ReturnType<typeof deferred<string>>) => void]>([
    ['success', (ended) => ended.resolve('done')],
    ['failure', (ended) => ended.reject(new Error('broken'))],
  ])('ends with its %s, and listens no more', async (_name, end) => {
    const { signal } = new AbortController();
    const ended = deferred<string>();
    const waiting = untilAborted(ended.promise, signal);
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    end(ended);
    const outcomes = await Promise.allSettled([waiting, ended.promise]);
    expect(outcomes[0]).toEqual(outcomes[1]);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it.each([
    ['before it', true],
    ['meanwhile', false],
  ])('ends with an abort %s, whatever becomes of the promise later', async (_name, isEarly) => {
    const abort = new AbortController();
    const ended = deferred<string>();
    if (isEarly) abort.abort();
    const waiting = untilAborted(ended.promise, abort.signal);
    abort.abort();
    await expect(waiting).rejects.toThrow(ABORTED);
    // Without a handler, this would end the process.
    ended.reject(new Error('too late'));
    await turn();
  });

  it('is aborted although the promise is settled already', async () => {
    await expect(untilAborted(Promise.resolve('done'), AbortSignal.abort())).rejects.toThrow(ABORTED);
  });
});

describe('a pause', () => {
  it('ends by itself, or with an abort before or meanwhile', async () => {
    await pause(1);
    await expect(pause(60_000, { signal: AbortSignal.abort() })).rejects.toThrow(ABORTED);
    const abort = new AbortController();
    const pausing = pause(60_000, abort);
    abort.abort();
    await expect(pausing).rejects.toThrow(ABORTED);
  });
});

describe('a line', () => {
  it('is in the order in which its waiters came, and admits whom its owner chooses', async () => {
    const line = new WaitingLine<string>();
    const admitted: string[] = [];
    const all = ['a', 'b', 'c'].map((name) => line.wait(name).then(() => admitted.push(name)));
    expect([...line].map(({ wanted }) => wanted)).toEqual(['a', 'b', 'c']);
    for (const waiter of line) if (waiter.wanted === 'b') waiter.admit();
    await turn();
    expect(line.admitFirst()).toBe(true);
    await turn();
    expect(admitted).toEqual(['b', 'a']);
    line.admitAll();
    await Promise.all(all);
    expect(line.size).toBe(0);
    expect(line.admitFirst()).toBe(false);
  });

  it('is without an aborted waiter at once, and listens for no admitted one', async () => {
    const line = new WaitingLine();
    const leaving = new AbortController();
    const staying = new AbortController();
    const left = line.wait(undefined, leaving);
    const stayed = line.wait(undefined, staying);
    leaving.abort();
    expect(line.size).toBe(1);
    await expect(left).rejects.toThrow(ABORTED);
    line.admitFirst();
    expect(getEventListeners(staying.signal, 'abort')).toEqual([]);
    // What it was given cannot be taken back any more.
    staying.abort();
    await stayed;
    await expect(line.wait(undefined, leaving)).rejects.toThrow(ABORTED);
    expect(line.size).toBe(0);
  });
});
