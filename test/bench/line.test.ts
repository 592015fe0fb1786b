import { expect, test } from 'vitest';
import { linesOf } from '../../bench/proxies/line.js';

test('on a far line each piece is as late as every other, however many and large they are', () => {
  const { down } = linesOf({ kind: 'far', oneWayMilliseconds: 25 }, 0);
  expect([100, 100, 101, 170].map((now) => down.leavesAt(1 << 20, now))).toEqual([125, 125, 126, 195]);
});

test('connecting over a far line takes a round trip, which what the client sends waits for', () => {
  const { up } = linesOf({ kind: 'far', oneWayMilliseconds: 25 }, 1000);
  expect([1000, 1010, 1050, 1100].map((now) => up.leavesAt(1, now))).toEqual([1075, 1075, 1075, 1125]);
});

test('a capped line sends one piece after the other at its rate, and keeps no time that it did not use', () => {
  const { down } = linesOf({ kind: 'capped', bytesPerSecond: 1000 }, 0);
  const pieces = [
    [100, 0],
    [100, 0],
    [50, 150],
    // Idle from 250 on.
    [100, 5000],
    [100, 5000],
  ] as const;
  expect(pieces.map(([bytes, now]) => down.leavesAt(bytes, now))).toEqual([100, 200, 250, 5100, 5200]);
});

test('both ways of a capped line, and two of them, are capped apart', () => {
  const [one, other] = [1, 2].map(() => linesOf({ kind: 'capped', bytesPerSecond: 1000 }, 0));
  for (const line of [one?.up, one?.down, other?.down]) expect(line?.leavesAt(100, 0)).toBe(100);
});
