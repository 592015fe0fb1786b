import { lstat } from 'node:fs/promises';

import { systemCode } from '../../errors.js';

/** Whether a policy is there, be it a link to nowhere or where it cannot be looked at: only what surely is not there governs nothing. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    const code = systemCode(error);
    return code !== 'ENOENT' && code !== 'ENOTDIR';
  }
}
