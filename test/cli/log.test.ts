import { expect, test } from 'vitest';
import { Log } from '../../src/cli/output/log.js';
import type { LogLevel } from '../../src/cli/config/settings.js';

test.each([
  ['error', []],
  ['warn', ['warning: w']],
  ['info', ['warning: w', 'i']],
  ['debug', ['warning: w', 'i', 'debug: d']],
] as const satisfies readonly (readonly [LogLevel, readonly string[]])[])('%s', (level, shown) => {
  const lines: string[] = [];
  const log = new Log(level, (text) => lines.push(text));
  log.warn('w');
  log.info('i');
  log.debug('d');
  expect(lines).toEqual(shown.map((line) => `landfall: ${line}\n`));
});

test('lines can be diverted for a while', () => {
  const stream: string[] = [];
  const elsewhere: string[] = [];
  const log = new Log('info', (text) => stream.push(text));
  const release = log.divert((text) => elsewhere.push(text));
  log.info('a');
  release();
  log.info('b');
  expect({ elsewhere, stream }).toEqual({ elsewhere: ['landfall: a\n'], stream: ['landfall: b\n'] });
});

test('a line cannot move the cursor', () => {
  const lines: string[] = [];
  new Log('info', (text) => lines.push(text)).warn('a\u001b[2J\nb');
  expect(lines).toEqual(['landfall: warning: a\\u001b[2J b\n']);
});

test('a line is JSON for programs, with what it is about', () => {
  const lines: string[] = [];
  const log = new Log('info', (text) => lines.push(text), 'json');
  log.info('pull 7: done', { pull: '7', durationMs: 12 });
  log.warn('a\u001b[2J\nb');
  log.debug('d');
  const [first, second, ...others] = lines.map((line) => JSON.parse(line) as { time: string });
  expect(first).toEqual({
    time: first?.time,
    level: 'info',
    message: 'pull 7: done',
    pull: '7',
    durationMs: 12,
  });
  expect(Date.parse(first?.time ?? '')).toBeGreaterThan(Date.now() - 60_000);
  expect(second).toMatchObject({ level: 'warn', message: 'a\u001b[2J\nb' });
  expect(others).toEqual([]);
});
