import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findSecrets } from './find-secrets.js';
import { keptRecords, keptSecrets, SECRETS_DIRECTORY } from './secret-records.js';

/**
 * Searches all that landfall said during the tests for the secrets of the tests, and fails the run where one
 * is found.
 */
export default function setup(): () => void {
  const directory = mkdtempSync(join(tmpdir(), 'landfall-secrets-'));
  // A test that is another user for a moment adds to it too.
  chmodSync(directory, 0o1733);
  process.env[SECRETS_DIRECTORY] = directory;
  return () => {
    const found = findSecrets(keptRecords(directory), keptSecrets(directory));
    rmSync(directory, { recursive: true });
    if (found.length === 0) return;
    process.stderr.write(`secrets were told:\n${found.map((line) => `  ${line}\n`).join('')}`);
    // An error that is thrown here is printed and forgotten.
    process.exitCode = 1;
  };
}
