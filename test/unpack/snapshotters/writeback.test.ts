import { fstatSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { Writeback } from '../../../src/unpack/snapshotters/commit-layers.js';

/** Longer than any pause between two rounds. */
const LONG_MS = 60_000;

describe('a writeback', () => {
  let directory: string;
  let writeback: Writeback;
  /** Each call, to be ended by the test. */
  let calls: { readonly fd: number; readonly end: (error?: Error) => void }[];

  beforeEach(async () => {
    vi.useFakeTimers();
    directory = join(await mkdtemp(join(tmpdir(), 'landfall-writeback-')), 'snapshots');
    calls = [];
    writeback = new Writeback({
      directory,
      syncfs: (fd) =>
        new Promise((resolve, reject) => {
          calls.push({ fd, end: (error) => (error === undefined ? resolve() : reject(error)) });
        }),
    });
  });
  afterEach(async () => {
    vi.useRealTimers();
    await rm(join(directory, '..'), { recursive: true });
  });

  const pass = (): Promise<unknown> => vi.advanceTimersByTimeAsync(LONG_MS);
  /** Lets happen what only waits for promises. */
  const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
  const endCall = async (error?: Error): Promise<void> => {
    calls.at(-1)?.end(error);
    await settle();
  };
  const isOpen = (fd: number | undefined): boolean => {
    try {
      return fd !== undefined && fstatSync(fd).isDirectory();
    } catch {
      return false;
    }
  };

  test('is over with its last layer, also where the directory could not be opened for one before', async () => {
    await writeFile(directory, 'no directory');
    expect(() => writeback.begin()).toThrow(expect.objectContaining({ code: 'EEXIST' }) as Error);
    await rm(directory);
    writeback.begin();
    await pass();
    const [call] = calls;
    await endCall();
    writeback.end();
    await settle();
    expect(isOpen(call?.fd)).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('goes on, one round after another, while there is a layer in the making', async () => {
    await pass();
    expect(calls).toHaveLength(0);
    writeback.begin();
    writeback.begin();
    await pass();
    expect(calls, 'while the first round runs').toHaveLength(1);
    for (let round = 2; round <= 4; round++) {
      await endCall();
      await pass();
      expect(calls).toHaveLength(round);
    }
    writeback.end();
    await endCall();
    await pass();
    expect(calls, 'for the other layer').toHaveLength(5);
    writeback.end();
    await endCall();
    await pass();
    expect(calls).toHaveLength(5);
  });

  test('begins again with the next layer', async () => {
    writeback.begin();
    writeback.end();
    await pass();
    expect(calls).toHaveLength(0);
    writeback.begin();
    await pass();
    expect(calls).toHaveLength(1);
    await endCall();
    writeback.end();
  });

  test('has one descriptor from the first layer to the last, and none after', async () => {
    writeback.begin();
    await pass();
    const { fd } = calls[0] ?? {};
    await endCall();
    await pass();
    expect(calls.map((call) => call.fd)).toEqual([fd, fd]);
    writeback.end();
    await settle();
    expect(isOpen(fd), 'while a round has it').toBe(true);
    await endCall();
    expect(isOpen(fd)).toBe(false);
  });

  test('is waited for by who wants to be sure, from a round that begins later', async () => {
    writeback.begin();
    await pass();
    const ended: string[] = [];
    const waiting = ['one', 'two'].map((name) => writeback.sync().then(() => ended.push(name)));
    await endCall();
    expect([calls.length, ended]).toEqual([2, []]);
    await endCall();
    expect([calls.length, ended]).toEqual([2, ['one', 'two']]);
    await Promise.all(waiting);
    writeback.end();
  });

  test('is done at once for who has no layer in the making', async () => {
    const done = writeback.sync();
    await settle();
    expect(calls).toHaveLength(1);
    const { fd } = calls[0] ?? {};
    await endCall();
    await done;
    expect(isOpen(fd)).toBe(false);
  });

  test('tells all layers in the making of what it could not write, and none that comes later', async () => {
    writeback.begin();
    await pass();
    await endCall(new Error('EIO'));
    for (let asked = 0; asked < 2; asked++) {
      const refused = expect(writeback.sync()).rejects.toThrow('EIO');
      await settle();
      // The kernel tells a failure once.
      await endCall();
      await refused;
    }
    writeback.end();
    await settle();
    const done = writeback.sync();
    await settle();
    await endCall();
    await done;
  });
});
