import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { IndexBudget } from '../../../src/unpack/files/image-tree.js';
import { indexDirectory } from '../../../src/unpack/files/index-directory.js';

test('can be stopped within a file, which may be one large hole', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'landfall-index-'));
  try {
    await writeFile(join(directory, 'hole'), '');
    await truncate(join(directory, 'hole'), 4 * 1024 ** 3);
    const stopping = new AbortController();
    const reading = indexDirectory(directory, {
      budget: new IndexBudget(1024 * 1024),
      ...{ layer: 0, contents: true, isWhole: true },
      signal: stopping.signal,
    });
    setImmediate(() => {
      stopping.abort();
    });
    await expect(reading).rejects.toMatchObject({ code: 'ABORTED' });
  } finally {
    await rm(directory, { recursive: true });
  }
});
