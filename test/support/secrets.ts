import { relative } from 'node:path';

import { expect } from 'vitest';

import { MIN_SECRET_CHARACTERS } from './find-secrets.js';
import { keepRecord, keepSecret } from './secret-records.js';

/**
 * Makes a value a secret of this test run: the run fails when it is found in what landfall said anywhere,
 * plain or encoded. Gives the value back, so that it can stand where the value is made: `password:
 * secret('harbour-7')`. The name is told when it is found; without one, the line that calls this is.
 */
export function secret(value: string, name: string = callerOf()): string {
  if (value.length < MIN_SECRET_CHARACTERS) {
    throw new Error(`a secret of fewer than ${MIN_SECRET_CHARACTERS} characters would be found in anything`);
  }
  keepSecret({ value, name, test: testFile() });
  return value;
}

/** Keeps something that landfall said, which may hold no secret: `record('debug log', text)`. */
export function record(source: string, text: string): void {
  const { currentTestName } = expect.getState();
  keepRecord({ source, text, test: [testFile(), currentTestName].filter(Boolean).join(' > ') });
}

function testFile(): string {
  const { testPath } = expect.getState();
  return testPath === undefined ? 'no test file' : relative(process.cwd(), testPath);
}

function callerOf(): string {
  const frames = (new Error().stack ?? '').split('\n').slice(1);
  const frame = frames.find((line) => !line.includes(import.meta.filename)) ?? '';
  const [, path = '', line = ''] = /(?:file:\/\/|\()?(\/[^:()]+):(\d+):\d+\)?$/.exec(frame) ?? [];
  return path === '' ? 'a secret' : `the secret of ${relative(process.cwd(), path)}:${line}`;
}
