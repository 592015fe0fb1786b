import { closeSync, mkdirSync, openSync } from 'node:fs';
import { mkdirat, O_CREAT, O_DIRECTORY, O_RDONLY, O_WRONLY, openat } from '../../src/system/index.js';

/** Long, so that a few directories are more than any path can say. */
export const DEEP_NAME: string = 'd'.repeat(200);

/** Makes directories within one another, each with a file. */
export function makeDeep(path: string, depth: number): void {
  mkdirSync(path);
  let directory = openSync(path, O_RDONLY | O_DIRECTORY);
  for (let i = 0; i < depth; i++) {
    closeSync(openat(directory, 'file', O_WRONLY | O_CREAT, 0o600));
    mkdirat(directory, DEEP_NAME, 0o700);
    const below = openat(directory, DEEP_NAME, O_RDONLY | O_DIRECTORY);
    closeSync(directory);
    directory = below;
  }
  closeSync(directory);
}
