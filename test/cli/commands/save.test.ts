import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordManifests } from '../../../src/engine/images/image.js';
import { createRegistryServer } from '../../../src/serve/index.js';
import { proofOf } from '../../support/archive-proof.js';
import { MemorySource } from '../../serve/memory-source.js';
import { CapturedStream } from '../fake-surroundings.js';
import { documented, runWithBytes, shapeOf } from './archives.js';
import { type FilledStore, fillStore } from './filled-store.js';

const APP = 'quay.io/team/app:1';
const TOOL = 'docker.io/library/tool:2';

describe('landfall save', () => {
  let store: FilledStore;
  let work: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-save-'));
    store = await fillStore([
      { name: APP, platforms: ['linux/amd64', 'linux/arm64'] },
      { name: TOOL, layers: [[{ path: 'tool', content: 'hammer' }]] },
    ]);
    await store.with(async (opened) => {
      for (const { target } of store.layouts) await recordManifests(opened, target);
    });
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await rm(work, { recursive: true });
  });

  const fresh = async (): Promise<string> => join(await mkdtemp(join(work, 'out-')), 'images.tar');

  test('writes images that are whole, and says which', async () => {
    const file = await fresh();
    const { code, out } = await store.run('save', APP, 'tool:2', '-o', file);
    expect(code).toBe(0);
    const [app, tool] = store.layouts.map(({ target }) => target.digest.slice(7, 19));
    expect(out.split('\n')).toEqual([
      expect.stringMatching(/^IMAGE +COPIED +SIZE {2}DIGEST$/),
      expect.stringMatching(new RegExp(`^${APP} +\\d+ +[\\d.]+ k?B  ${app}$`)),
      expect.stringMatching(new RegExp(`^${TOOL} +\\d+ +[\\d.]+ k?B  ${tool}$`)),
      expect.stringMatching(/^2 images +\d+ +[\d.]+ k?B$/),
      expect.stringMatching(/^wrote [\d.]+ kB to .*images\.tar$/),
      '',
    ]);
    const [, one, other, sum] = out.split('\n').map((line) => Number(/ (\d+) +[\d.]+ k?B/.exec(line)?.[1]));
    expect((one ?? 0) + (other ?? 0)).toBe(sum);
    expect(await proofOf(file, { diffIds: true })).toBe('whole');
  });

  test('answers in the form that is documented', async () => {
    const shown = shapeOf(await store.runJson('save', APP, '-o', await fresh()));
    expect(shown).toEqual(shapeOf(documented('save')));
    const { parts } = (await store.runJson('save', APP, TOOL, '--split', '64K', '-o', await fresh())) as {
      parts: string[];
    };
    expect(parts).toEqual(['images.tar.000']);
  });

  test('writes to standard output the same, and nothing else', async () => {
    const file = await fresh();
    await store.run('save', APP, TOOL, '-o', file);
    const { code, bytes } = await runWithBytes([
      '--root',
      store.root,
      'save',
      TOOL,
      APP,
      '-o',
      '-',
      '--output',
      'json',
    ]);
    expect(code).toBe(0);
    expect(bytes.equals(await readFile(file))).toBe(true);
  });

  test('declares the platforms that are left out', async () => {
    const file = await fresh();
    const { out } = await store.run('save', APP, '--platform', 'linux/arm64', '-o', file);
    expect(out).toMatch(/ LEFT OUT\n.* {2}linux\/amd64\n/);
    expect(await proofOf(file)).toBe('whole');
  });

  test('reads images from their registry, without a copy in the store', async () => {
    const source = new MemorySource();
    const [layout] = store.layouts;
    if (layout === undefined) throw new Error('there is one');
    for (const bytes of layout.blobs.values()) source.add(bytes);
    source.tag('docker.io/team/app', '1', layout.target);
    const server = createRegistryServer({ source });
    const { host } = await server.listen({ host: '127.0.0.1', port: 0 });
    const file = await fresh();
    const name = `docker://${host}/team/app:1`;
    const { code, err } = await runWithBytes([
      '--root',
      join(work, 'none'),
      '--plain-http',
      'save',
      name,
      '-o',
      file,
      '--all',
    ]);
    await server.close({ graceMs: 0 });
    expect([code, err]).toEqual([0, expect.not.stringContaining('error')]);
    expect(await proofOf(file, { diffIds: true })).toBe('whole');
  });

  test('writes nothing where one of several images is not there, and says which', async () => {
    const file = await fresh();
    const { code, err } = await store.run('save', APP, 'missing:1', '-o', file);
    expect(code).toBe(3);
    expect(err).toContain('missing:1');
    expect(await readdir(join(file, '..'))).toEqual([]);
  });

  test.each<[string, string[]]>([
    ['standard output in parts', ['-o', '-', '--split', '1M']],
    ['referrers for Docker alone', ['-o', 'x', '--format', 'docker', '--artifact-type', 'a/b']],
    ['all platforms and some of them', ['-o', 'x', '--all', '--platform', 'linux/amd64']],
    ['parts of no size', ['-o', 'x', '--split', '10']],
    ['a format that there is not', ['-o', 'x', '--format', 'zip']],
    ['no file', []],
    ['a directory', ['-o', '/']],
  ])('refuses %s', async (_what, args) => {
    expect(await store.run('save', APP, ...args)).toMatchObject({ code: 2, out: '' });
  });

  test('does not write to a terminal', async () => {
    const stdout = new CapturedStream({ isTTY: true });
    const { code, bytes } = await runWithBytes(['--root', store.root, 'save', APP, '-o', '-'], { stdout });
    expect([code, bytes.length]).toEqual([2, 0]);
  });
});
