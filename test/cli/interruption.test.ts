import { expect, test } from 'vitest';
import { Interruption } from '../../src/cli/main.js';
import { FakeSignals } from './fake-surroundings.js';

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('the first %s aborts, the second does not wait', (signal, code) => {
  const signals = new FakeSignals();
  using interruption = new Interruption(signals);
  expect(interruption.signal.aborted).toBe(false);
  signals.emit(signal);
  expect(interruption.signal.aborted).toBe(true);
  expect(interruption.exitCode).toBe(code);
  expect(signals.exits).toEqual([]);
  signals.emit(signal);
  expect(signals.exits).toEqual([code]);
});

test('after its end signals are the process’s own again', () => {
  const signals = new FakeSignals();
  const interruption = new Interruption(signals);
  interruption[Symbol.dispose]();
  expect(signals.listenerCount('SIGINT') + signals.listenerCount('SIGTERM')).toBe(0);
});
