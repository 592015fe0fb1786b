import { getEventListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';

import { abortedError } from '../../src/errors.js';
import { tellingCaller } from '../../src/concurrency/caller-callback.js';

const thrown = new Error('the caller fails');

/** Waits for the abort, and then cleans up for a while. */
async function untilAborted(signal: AbortSignal | undefined): Promise<never> {
  await new Promise((resolve) => signal?.addEventListener('abort', resolve));
  await nextTurn();
  throw abortedError(signal);
}

describe('an operation that tells its caller of itself', () => {
  it.each<[string, (event: string) => unknown]>([
    [
      'throws',
      () => {
        throw thrown;
      },
    ],
    ['rejects', () => Promise.reject(thrown)],
  ])('is aborted where the callback %s, and fails with that once it has ended', async (_, onEvent) => {
    let ended = false;
    const failing = tellingCaller({ onEvent }, async ({ signal, onEvent: emit }) => {
      // From a place where nothing would catch it.
      setTimeout(() => emit?.('begun'), 1);
      try {
        return await untilAborted(signal);
      } finally {
        ended = true;
      }
    });
    await expect(failing).rejects.toBe(thrown);
    expect(ended).toBe(true);
  });

  it('fails with the first thing that was thrown, and tells nothing after it', async () => {
    const reported: string[] = [];
    const onEvent = (event: string): void => {
      reported.push(event);
      throw new Error(event);
    };
    const failing = tellingCaller({ onEvent }, async ({ onEvent: emit }) => {
      emit?.('first');
      emit?.('second');
      await nextTurn();
      throw new Error('what came of it');
    });
    await expect(failing).rejects.toThrow('first');
    expect(reported).toEqual(['first']);
  });

  it('fails where it came to an end all the same, and what it came to is given back', async () => {
    const given: string[] = [];
    const onEvent = (): void => {
      throw thrown;
    };
    const failing = tellingCaller(
      { onEvent },
      ({ onEvent: emit }) => {
        emit?.('done');
        return Promise.resolve('a lock');
      },
      (lock) => Promise.resolve(void given.push(lock)),
    );
    await expect(failing).rejects.toBe(thrown);
    expect(given).toEqual(['a lock']);
  });

  it('is what it is without a callback that fails', async () => {
    const { signal } = new AbortController();
    const reported: number[] = [];
    const onEvent = (event: number): void => void reported.push(event);
    const telling = { signal, onEvent };
    expect(
      await tellingCaller(telling, ({ onEvent: emit }) => {
        emit?.(1);
        emit?.(2);
        return Promise.resolve('done');
      }),
    ).toBe('done');
    expect(reported).toEqual([1, 2]);
    const own = new Error('its own');
    await expect(tellingCaller(telling, () => Promise.reject(own))).rejects.toBe(own);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it.each([undefined, () => undefined])("is aborted by its caller's signal too (%s)", async (onEvent) => {
    const controller = new AbortController();
    const running = tellingCaller({ signal: controller.signal, onEvent }, ({ signal }) =>
      untilAborted(signal),
    );
    controller.abort();
    await expect(running).rejects.toMatchObject({ code: 'ABORTED' });
  });
});
