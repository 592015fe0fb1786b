import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { goldenImage } from '../../fixtures/demo-image.js';
import { shortDigest } from '../../src/spec/index.js';

const DEMO = join(import.meta.dirname, '../../dist/scripts/demo.js');

/** The only place where the demo may leave something. */
let temporary: string;

beforeEach(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'landfall-test-'));
});

afterEach(async () => {
  await rm(temporary, { recursive: true, force: true });
});

function start(...args: string[]): ChildProcessWithoutNullStreams {
  return spawn(process.execPath, [DEMO, ...args], {
    env: { PATH: process.env['PATH'], HOME: temporary, TMPDIR: temporary, LANDFALL_CONFIG: '/dev/null' },
  });
}

async function outcome(
  child: ChildProcessWithoutNullStreams,
): Promise<{ exitCode: number; output: string; errors: string }> {
  const [output, errors, [exitCode]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number]>,
  ]);
  return { exitCode, output, errors };
}

// Snapshots with the owners and devices of the image need root.
describe.skipIf(process.getuid?.() !== 0)('the demo', () => {
  test('pulls the image of its own registry, shows it, and leaves nothing', async () => {
    const { exitCode, output, errors } = await outcome(start());
    expect({ exitCode, errors }).toMatchObject({ exitCode: 0 });
    const { diffIds, chainIds } = goldenImage(process.arch === 'arm64' ? 'arm64' : 'amd64');
    for (const digest of [...diffIds, ...chainIds]) expect(output).toContain(shortDigest(digest));
    expect(output).toMatch(/^\s+-rwsr-xr-x\s+0:0\s.*sound/m);
    expect(output).toMatch(/^\s+drwxr-x---\s+10:20\s.*harbour/m);
    expect(output).toContain('lowerdir=');
    expect(await readdir(temporary)).toEqual([]);
  });

  const moments: [signal: 'SIGINT' | 'SIGTERM', moment: string, exitCode: number][] = [
    ['SIGINT', 'A registry', 130],
    ['SIGINT', 'Pull:', 130],
    ['SIGTERM', 'The merged tree', 143],
  ];
  test.each(moments)(
    'ends at %s under "%s" with its exit code, and leaves nothing',
    async (signal, moment, code) => {
      const child = start();
      let shown = '';
      child.stdout.on('data', (chunk: Buffer) => {
        shown += chunk.toString();
        if (shown.includes(moment)) child.kill(signal);
      });
      expect(await outcome(child)).toMatchObject({ exitCode: code });
      expect(await readdir(temporary)).toEqual([]);
    },
  );
});

test('a demo that fails has the exit code of the command that failed, and leaves nothing', async () => {
  const { exitCode, errors } = await outcome(start('127.0.0.1:1/landfall/demo:1.0'));
  expect(exitCode).toBe(5);
  expect(errors).toContain('127.0.0.1:1');
  expect(await readdir(temporary)).toEqual([]);
});

test.each([[['--help']], [['one', 'two']]])('%s is a wrong use of it', async (args) => {
  expect(await outcome(start(...args))).toMatchObject({
    exitCode: 2,
    errors: expect.stringContaining('usage') as string,
  });
});
