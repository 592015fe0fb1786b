import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { rounds } from '../support/rounds.js';
import { archive, file, symlink } from '../support/tar-builder.js';
import { removeTree } from '../support/unpack-fixture.js';
import { type Finding, writeFinding } from './finding.js';

const MAIN = join(import.meta.dirname, '../../dist/test/fuzz/main.js');

let temporary: string;
beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'landfall-fuzzing-'));
});
afterEach(() => removeTree(temporary));

async function fuzz(...args: string[]): Promise<{ code: number; output: string }> {
  const findings = join(temporary, 'findings');
  const child = spawn(process.execPath, [MAIN, '--findings', findings, ...args], {
    env: { PATH: process.env['PATH'], TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close') as Promise<[number]>]);
  return { code, output };
}

describe('the fuzzer', () => {
  const inputs = rounds({ short: 3000, long: 200_000 });
  test(
    `finds nothing with ${inputs} inputs, and leaves nothing`,
    async () => {
      const { code, output } = await fuzz('--inputs', String(inputs), '--seed', '1');
      expect({ code, output }).toEqual({
        code: 0,
        output: expect.stringContaining('nothing found') as string,
      });
      expect(output).toContain(`${inputs} inputs in`);
      expect(await readdir(temporary)).toEqual([]);
    },
    rounds({ short: 300_000, long: 3_600_000 }),
  );

  test.each<[string, string, Buffer]>([
    ['a layer', 'extract', archive(file('a', 'x'), symlink('l', '/etc'), file('l/b'))],
    ['bytes that are no layer', 'read', Buffer.alloc(1024, 'no layer')],
    ['a pax header', 'pax', Buffer.from('10 path=a\n')],
  ])('takes %s from a file, and says that it finds nothing any more', async (_, target, layer) => {
    const finding: Finding = {
      target,
      kind: 'crash',
      message: 'it did once',
      number: { seed: 1, index: 2 },
      input: { layers: [layer] },
    };
    const path = writeFinding(join(temporary, 'elsewhere'), finding);
    const { code, output } = await fuzz('--replay', path);
    expect({ code, output }).toMatchObject({
      code: 0,
      output: expect.stringContaining('nothing found') as string,
    });
  });

  test.each([['--seconds', 'many'], ['--unknown'], ['a word']])(
    '%s is a wrong use of it',
    async (...args) => {
      expect((await fuzz(...args)).code).toBe(2);
    },
  );
});
