import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import {
  rewriteSnapshotFile,
  writeSnapshotFile,
} from '../../../src/unpack/snapshotters/snapshot-directories.js';

let parent: string;

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'landfall-snapshot-file-'));
});

afterAll(async () => {
  await rm(parent, { recursive: true });
});

describe.each(Object.entries({ writeSnapshotFile, rewriteSnapshotFile }))('%s', (name, write) => {
  it('says that the disk is full', async () => {
    const directory = join(parent, name);
    await mkdir(directory);
    await symlink('/dev/full', join(directory, 'snapshot.json'));
    await expect(write(directory, { name: 'one' })).rejects.toMatchObject({
      code: 'NO_SPACE',
      message: expect.stringContaining(join(directory, 'snapshot.json')) as string,
    });
  });

  it('says that the directory is gone', async () => {
    await expect(write(join(parent, 'gone'), { name: 'one' })).rejects.toMatchObject({ code: 'FILESYSTEM' });
  });
});
