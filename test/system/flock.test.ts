import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { lock, tryLock, unlock } from '../../src/system/index.js';
import { codeOf, scratchDirectory } from './scratch.js';

const file = join(scratchDirectory(), 'lock');
writeFileSync(file, '');
let first = -1;
let second = -1;

beforeEach(() => {
  first = openSync(file, 'r+');
  second = openSync(file, 'r+');
  return (): void => {
    closeSync(first);
    closeSync(second);
  };
});

describe('flock', () => {
  it.each([
    ['exclusive', 'exclusive', false],
    ['exclusive', 'shared', false],
    ['shared', 'exclusive', false],
    ['shared', 'shared', true],
  ] as const)('with %s held, %s is granted: %s', (held, wanted, granted) => {
    expect(tryLock(first, held)).toBe(true);
    expect(tryLock(second, wanted)).toBe(granted);
    unlock(first);
    expect(tryLock(second, wanted)).toBe(true);
  });

  it('goes with the descriptor', () => {
    tryLock(first, 'exclusive');
    closeSync(first);
    expect(tryLock(second, 'exclusive')).toBe(true);
    first = openSync(file, 'r+');
  });

  it('is waited for', async () => {
    tryLock(first, 'exclusive');
    const order: string[] = [];
    const waiting = lock(second).then(() => order.push('granted'));
    setTimeout(() => {
      order.push('released');
      unlock(first);
    }, 20);
    await waiting;
    expect(order).toEqual(['released', 'granted']);
    expect(tryLock(first, 'exclusive')).toBe(false);
  });

  it('is not waited for once the signal is aborted, and is not held after', async () => {
    tryLock(first, 'exclusive');
    const controller = new AbortController();
    const waiting = lock(second, { signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(lock(second, { signal: controller.signal })).rejects.toMatchObject({ code: 'ABORTED' });
    unlock(first);
    expect(tryLock(first, 'exclusive')).toBe(true);
  });

  it('of a descriptor that is closed is EBADF', async () => {
    expect(codeOf(() => tryLock(9999, 'shared'))).toBe('EBADF');
    expect(codeOf(() => unlock(9999))).toBe('EBADF');
    await expect(lock(9999)).rejects.toMatchObject({ code: 'EBADF' });
  });
});
