import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import prettier from 'prettier';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { MIRROR_SCHEMA } from '../../../src/transfer/sync/landfall-form.js';
import { read } from './read.js';

const EXAMPLE = readFileSync('docs/mirror.yaml', 'utf8');

/** All keys that a schema knows, at any depth. */
function keysOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]: [string, unknown]) =>
    key === 'properties'
      ? [...Object.keys(value as object), ...Object.values(value as object).flatMap(keysOf)]
      : keysOf(value),
  );
}

describe('the schema of the file', () => {
  test('is published as it is; `npx vitest run -u test/transfer/sync` writes it', async () => {
    const path = 'docs/mirror.schema.json';
    const options = await prettier.resolveConfig(path);
    const text = await prettier.format(JSON.stringify(MIRROR_SCHEMA), { ...options, parser: 'json' });
    await expect(text).toMatchFileSnapshot('../../../docs/mirror.schema.json');
  });

  test('takes the example as an editor reads it, and so does the reader', () => {
    const validate = new Ajv({ allowUnionTypes: true }).compile(MIRROR_SCHEMA);
    expect(validate(parse(EXAMPLE, { merge: true })), JSON.stringify(validate.errors)).toBe(true);
    const file = read(EXAMPLE, { name: 'docs/mirror.yaml' });
    expect(file.sources.map(({ selections }) => selections.length)).toEqual([3, 1, 1, 1]);
    expect(file.destinations.length).toBe(2);
  });

  test('refuses what the reader refuses', () => {
    const validate = new Ajv({ allowUnionTypes: true }).compile(MIRROR_SCHEMA);
    expect(validate({ sources: [{ registry: 'a.lan', repository: ['x'] }] })).toBe(false);
  });

  test('has no key that docs/mirroring.md does not tell of', () => {
    const page = readFileSync('docs/mirroring.md', 'utf8');
    const section = page.slice(page.indexOf('\n## Sync\n'));
    const unreported = [...new Set(keysOf(MIRROR_SCHEMA))].filter(
      (key) => !new RegExp(`\\b${key}\\b`).test(section),
    );
    expect(unreported).toEqual([]);
  });
});
