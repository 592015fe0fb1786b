import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { EXIT_CODES, exitCodeOf } from '../../src/cli/output/exit-codes.js';
import { ContentError, LandfallError, RegistryError, SpecError } from '../../src/errors.js';

describe('exit codes', () => {
  test.each([
    ['wrong usage', new LandfallError('INVALID_CONFIG', ''), 2],
    ['a malformed reference', new SpecError('INVALID_REFERENCE', ''), 2],
    ['an unknown tag', new RegistryError('NOT_FOUND', ''), 3],
    ['no such platform', new SpecError('NO_MATCHING_PLATFORM', ''), 3],
    ['wrong credentials', new RegistryError('UNAUTHORIZED', ''), 4],
    ['an unreachable registry', new RegistryError('UNAVAILABLE', ''), 5],
    ['a blob that is not what it should be', new ContentError('DIGEST_MISMATCH', ''), 6],
    ['a manifest that breaks its specification', new SpecError('INVALID_MANIFEST', ''), 7],
    ['a full disk', new ContentError('NO_SPACE', ''), 8],
    ['an abort', new LandfallError('ABORTED', ''), 130],
    ['a locked store', new ContentError('LOCKED', ''), 1],
    ['what nobody foresaw', new TypeError('x is not a function'), 1],
    ['what is no error', 'boom', 1],
  ] as const)('%s', (_, error, code) => {
    expect(exitCodeOf(error)).toBe(code);
  });

  test('docs/cli.md lists each code under its exit code', () => {
    const page = readFileSync('docs/cli.md', 'utf8');
    for (const [name, code] of Object.entries(EXIT_CODES)) {
      const row = new RegExp(`^\\| ${code === 130 ? '130, 143' : code} +\\|.*\\b${name}\\b`, 'm');
      expect.soft(page, `${name} under ${code}`).toMatch(row);
    }
  });
});
