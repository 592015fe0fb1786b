import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordManifests } from '../../src/engine/images/image.js';
import { main } from '../../src/cli/main.js';
import { type FilledStore, fillStore } from './commands/filled-store.js';
import { CapturedStream, FakeSignals, fakeSurroundings } from './fake-surroundings.js';

const LONG = 'registry.example.com:5000/a-department/a-team:1';
const SHORT = 'docker.io/library/tool:2';

describe('in a terminal of 80 columns no line is wider', () => {
  let store: FilledStore;
  let work: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-columns-'));
    store = await fillStore([
      { name: LONG, platforms: ['linux/amd64', 'linux/arm64', 'linux/s390x'] },
      { name: SHORT, layers: [[{ path: 'tool', content: 'hammer' }]] },
    ]);
    await store.with(async (opened) => {
      for (const { target } of store.layouts) await recordManifests(opened, target);
    });
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await rm(work, { recursive: true });
  });

  test.each([
    ['images'],
    ['inspect', LONG],
    ['tree', SHORT],
    ['tree', LONG],
    ['ls', '-l', SHORT, '/'],
    ['diff', LONG, SHORT],
    ['save', LONG, SHORT, '-o', 'FILE'],
    ['copy', '--all', LONG, 'oci:FILE-layout:tag'],
    ['df'],
    ['gc', '--dry-run'],
    ['fsck'],
    ['doctor'],
    ['config'],
    ['verify', SHORT],
    ['tag', SHORT, 'quay.io/team/tool:3'],
    ['pin', LONG],
    ['rmi', LONG],
  ])('%s', async (...command) => {
    const shape = { isTTY: true, columns: 80, rows: 24 };
    const surroundings = fakeSurroundings({
      env: { HOME: '/nonexistent', LANG: 'C.UTF-8', NO_COLOR: '1' },
      stdout: new CapturedStream(shape),
    });
    const argv = command.map((word) => word.replace('FILE', join(work, 'out')));
    await main(['--root', store.root, '--progress', 'none', ...argv], surroundings, new FakeSignals());
    const { text } = surroundings.stdout;
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(surroundings.stderr.text).toBe('');
  });
});
