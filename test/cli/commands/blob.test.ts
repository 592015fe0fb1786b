import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../../src/spec/index.js';
import { documented } from './archives.js';
import { type FilledStore, fillStore } from './filled-store.js';
import { type LookedAt, lookedAt } from './looked-at.js';

let at: LookedAt;
beforeEach(async () => {
  at = await lookedAt();
});
afterEach(() => at[Symbol.asyncDispose]());

describe('landfall blob', () => {
  test('writes every blob of a layout as it is', async () => {
    for (const [digest, bytes] of at.one.blobs) {
      const ran = await at.run('blob', `${at.names.one}@${digest}`);
      expect(ran.code).toBe(0);
      expect(ran.bytes.equals(bytes)).toBe(true);
    }
  });

  test('and every blob of the store', async () => {
    await using store: FilledStore = await fillStore([{ name: 'registry.k8s.io/pause:3.10' }]);
    for (const [digest, bytes] of store.layouts[0]?.blobs ?? []) {
      const file = join(at.directory, 'blob');
      const shown = await store.runJson('blob', `registry.k8s.io/pause@${digest}`, '-o', file);
      expect(Object.keys(shown as object)).toEqual(Object.keys(documented('blob') as object));
      expect((await readFile(file)).equals(bytes)).toBe(true);
    }
    const { code, err } = await store.run('blob', `pause@${digestOf(Buffer.from('no'))}`);
    expect(code).toBe(3);
    expect(err).toContain('docker://pause@sha256:');
  });

  test('fails where the bytes are others, and leaves nothing behind', async () => {
    const digest = at.one.manifests[0].layers[0]?.digest ?? '';
    const blob = join(at.directory, 'one/blobs', ...digest.split(':'));
    const bytes = await readFile(blob);
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    await chmod(blob, 0o644);
    await writeFile(blob, bytes);
    const before = await readdir(at.directory);
    for (const args of [[], ['-o', join(at.directory, 'out')]]) {
      const ran = await at.run('blob', `${at.names.one}@${digest}`, ...args);
      expect(ran.code).toBe(6);
      expect(ran.err).toMatch(/reads as sha256/);
      // The end is not signalled by what came.
      expect(ran.bytes.length).toBeLessThan(bytes.length);
    }
    expect(await readdir(at.directory)).toEqual(before);
  });

  test.each<[name: string, text: string, code: number]>([
    ['a name without a digest', 'debian:trixie', 2],
    ['a digest that nothing has', `@${digestOf(Buffer.from('no'))}`, 3],
  ])('%s', async (_, text, code) => {
    const name = text.startsWith('@') ? `${at.names.one}${text}` : text;
    expect((await at.run('blob', name)).code).toBe(code);
  });
});
