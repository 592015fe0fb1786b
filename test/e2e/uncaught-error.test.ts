import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { landfall } from '../support/landfall-command.js';

let work: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-uncaught-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

/** Throws once the server says that it listens, where nobody catches it. */
const THROWS = `
const write = process.stderr.write.bind(process.stderr);
process.stderr.write = (text, ...others) => {
  if (String(text).includes('127.0.0.1:')) setImmediate(() => { throw new RangeError('one\\ntwo'); });
  return write(text, ...others);
};
const out = process.stdout.write.bind(process.stdout);
process.stdout.write = (text, ...others) => {
  if (String(text).includes('127.0.0.1:')) setImmediate(() => { throw new RangeError('one\\ntwo'); });
  return out(text, ...others);
};`;

it.each<[string, readonly string[], RegExp]>([
  ['is told in two lines', [], /landfall: internal error: one two\n {2}hint: This is a defect[^\n]*\n$/],
  [
    'is an object for programs',
    ['--output', 'json'],
    /\{"code":"INTERNAL","message":"internal error: one\\ntwo"[^\n]*\}\n$/,
  ],
])('an error that nobody caught %s', async (_, args, reported) => {
  const { code, stderr } = await landfall(
    ['serve', '--root', join(work, 'root'), '--listen', '127.0.0.1:0', ...args],
    { env: { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(THROWS)}` } },
  );
  expect(stderr).toMatch(reported);
  expect(stderr).not.toContain('    at ');
  expect(code).toBe(1);
});
