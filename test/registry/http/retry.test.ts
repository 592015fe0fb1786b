import { describe, expect, it } from 'vitest';

import { ContentError, RegistryError } from '../../../src/errors.js';
import { delayAfter, finalError, parseRetryAfter, withRetry } from '../../../src/registry/http/retry.js';
import { failure } from '../../support/registry-fixture.js';

const unavailable = (details = {}, cause?: unknown): RegistryError =>
  new RegistryError('UNAVAILABLE', 'x', { retryable: true, details, cause });
const native = (code: string): Error => Object.assign(new Error(code), { code });
const wrong = new ContentError('DIGEST_MISMATCH', 'x');
const most = (): number => 0.999999;

describe('delayAfter', () => {
  const policy = { attempts: 10, baseMs: 100, capMs: 1000, maxRetryAfterMs: 5000 };
  it.each([
    ['the first pause is at most the base', unavailable(), 1, 100],
    ['it doubles', unavailable(), 3, 400],
    ['up to the cap', unavailable(), 8, 1000],
    ['Retry-After is kept in full', unavailable({ retryAfterMs: 3000 }), 1, 3100],
    ['also after more attempts than failures are borne', unavailable({ retryAfterMs: 3000 }), 39, 3100],
    ['what is wrong is asked for once more', wrong, 1, 100],
  ])('%s', (_name, error, attempt, expected) => {
    expect(delayAfter(error, attempt, policy, most)).toBeCloseTo(expected, 1);
  });

  it('takes any part of the pause, but never less than Retry-After', () => {
    expect(delayAfter(unavailable(), 8, policy, () => 0)).toBe(0);
    expect(delayAfter(unavailable({ retryAfterMs: 3000 }), 1, policy, () => 0)).toBe(3000);
  });

  it.each([
    ['the attempts are used up', unavailable(), 10],
    ['it was sent away four times as often', unavailable({ retryAfterMs: 1 }), 40],
    ['Retry-After is longer than anybody waits', unavailable({ retryAfterMs: 5001 }), 1],
    ['the error is for good', new RegistryError('NOT_FOUND', 'x'), 1],
    ['the error is not a registry’s', new TypeError('x'), 1],
    ['a closed port was tried three times', unavailable({}, native('ECONNREFUSED')), 3],
    ['a name was looked up twice', unavailable({}, native('EAI_AGAIN')), 2],
    ['it was wrong twice', wrong, 2],
  ])('gives up when %s', (_name, error, attempt) => {
    expect(delayAfter(error, attempt, policy)).toBeUndefined();
  });
});

describe('finalError', () => {
  const limited = (retryAfterMs?: number): RegistryError =>
    new RegistryError('RATE_LIMITED', 'slow down', {
      retryable: true,
      hint: 'Wait.',
      details: retryAfterMs === undefined ? {} : { retryAfterMs },
    });

  it('is as it was where it was met once', () => {
    const error = limited(1000);
    expect(finalError(error, 1)).toBe(error);
    expect(finalError(wrong, 2)).toBe(wrong);
  });

  it('says how often it was asked', () => {
    expect(finalError(limited(), 5)).toMatchObject({
      code: 'RATE_LIMITED',
      message: 'slow down',
      retryable: true,
      hint: 'Wait.',
      details: { attempts: 5 },
    });
  });

  it.each([
    [86_400_000, undefined, '24 h', '86400'],
    [172_800_000, undefined, '2 d', '172800'],
    [121_000, undefined, '3 min', '121'],
    [1_500, 1_000, '2 s', '2'],
  ])('says that %d ms are longer than is waited for', (retryAfterMs, maxRetryAfterMs, words, seconds) => {
    const retry = maxRetryAfterMs === undefined ? {} : { maxRetryAfterMs };
    const error = finalError(limited(retryAfterMs), 1, retry);
    expect(error.message).toBe(`slow down, and wants to be left alone for ${words}`);
    expect(error.hint).toContain(`--max-retry-after ${seconds}`);
    expect(error).toMatchObject({ code: 'RATE_LIMITED', details: { retryAfterMs } });
  });
});

describe('parseRetryAfter', () => {
  const now = Date.parse('Wed, 21 Oct 2015 07:28:00 GMT');
  it.each([
    ['120', 120_000],
    [' 0 ', 0],
    ['Wed, 21 Oct 2015 07:28:30 GMT', 30_000],
    ['Wednesday, 21-Oct-15 07:28:30 GMT', 30_000],
    ['Wed, 21 Oct 2015 07:00:00 GMT', 0],
    ['-1', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%s', (header, expected) => {
    expect(parseRetryAfter(header, now)).toBe(expected);
  });
});

describe('withRetry', () => {
  it('numbers the attempts and throws the last error', async () => {
    const seen: number[] = [];
    const action = (attempt: number): Promise<never> => {
      seen.push(attempt);
      return Promise.reject(unavailable({ status: 500 + attempt }));
    };
    const error = await failure(withRetry(action, { retry: { attempts: 3, baseMs: 1 } }));
    expect(seen).toEqual([1, 2, 3]);
    expect(error.details['status']).toBe(503);
  });

  it('stops waiting when it is aborted', async () => {
    const abort = new AbortController();
    const action = (): Promise<never> => {
      setImmediate(() => abort.abort());
      return Promise.reject(unavailable({ retryAfterMs: 60_000 }));
    };
    expect((await failure(withRetry(action, { signal: abort.signal }))).code).toBe('ABORTED');
  });
});
