import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FilledStore, fillStore } from './commands/filled-store.js';

const NAME = 'registry.k8s.io/pause:3.10';

/** The first example of a section of docs/json-output.md. */
function documented(section: string): unknown {
  const page = readFileSync('docs/json-output.md', 'utf8');
  const text = page.split(/^## /m).find((one) => one.startsWith(`${section}\n`));
  const example = /```json\n([\s\S]*?)```/.exec(text ?? '')?.[1];
  if (example === undefined) throw new Error(`docs/json-output.md has no example for ${section}`);
  return JSON.parse(example);
}

/** Which keys there are where; of a list, those of its first element. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]));
}

describe('docs/json-output.md shows what there is', () => {
  let store: FilledStore;
  beforeAll(async () => {
    store = await fillStore([{ name: NAME, unusedMs: 1000 }]);
  });
  afterAll(() => store[Symbol.asyncDispose]());

  test.each<[section: string, argv: string[]]>([
    ['images', ['images']],
    ['pin, unpin', ['pin', NAME]],
    ['df', ['df']],
    ['gc', ['gc', '--dry-run', '--unused-for', '0']],
  ])('of %s', async (section, argv) => {
    if (section === 'gc') await store.run('unpin', NAME);
    const wanted = shapeOf(documented(section)) as Record<string, unknown>;
    const shown = shapeOf(await store.runJson(...argv)) as Record<string, unknown>;
    // Nothing is unpacked here, and nothing is partly downloaded.
    const given = section === 'gc' ? { ...shown, snapshots: ['string'], partials: ['string'] } : shown;
    expect(given).toEqual(wanted);
  });

  test('of fsck', async () => {
    const report = (await store.runJson('fsck', '--quick')) as { steps: { name: string }[] };
    const wanted = documented('fsck') as { steps: object[] };
    expect(Object.keys(report)).toEqual(Object.keys(wanted));
    expect(Object.keys(report.steps[0] ?? {})).toEqual(Object.keys(wanted.steps[0] ?? {}));
    const page = readFileSync('docs/json-output.md', 'utf8');
    for (const { name } of report.steps) expect(page).toContain(`\`${name}\``);
  });

  test('of export', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-export-'));
    try {
      const shown = shapeOf(await store.runJson('export', NAME, '-o', join(directory, 'image.tar')));
      expect(shown).toEqual(shapeOf(documented('export')));
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('of bundle', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-bundle-'));
    try {
      const shown = shapeOf(await store.runJson('bundle', '--rootless', NAME, directory));
      expect(shown).toEqual(shapeOf(documented('bundle')));
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
