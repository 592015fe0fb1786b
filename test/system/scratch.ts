import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A temporary directory that is removed after the tests of the file. */
export function scratchDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'landfall-system-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export const isRoot: boolean = process.getuid?.() === 0;

/** The errno's name of what a call threw, or `none` where it threw nothing. */
export function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
    throw error;
  }
  return 'none';
}
