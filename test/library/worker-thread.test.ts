import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '../support/landfall-command.js';

const LIBRARY = pathToFileURL(resolve('dist/src/index.js')).href;
const IMAGE = `oci:${resolve('fixtures/image')}`;

/** Node tracks the descriptors of such a thread, and warns of each that it closes and did not open. */
const PROGRAM = `
import { writeFileSync } from 'node:fs';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { collectGarbage, copy, exportImage, fsck, listImages, openStore, unpackImage } from ${JSON.stringify(LIBRARY)};
if (isMainThread) {
  new Worker(new URL(import.meta.url), { workerData: process.argv[2] });
} else {
  const root = workerData;
  const store = await openStore({ root: root + '/store' });
  await copy({ store, source: ${JSON.stringify(IMAGE)}, destination: 'fleet/app:1' });
  await unpackImage(store, 'fleet/app:1', root + '/tree');
  const { length } = await listImages(store);
  await fsck(store);
  await collectGarbage(store);
  await store.close();
  console.log(length);
}
`;

describe('a worker thread of the program', () => {
  let work: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-worker-'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it('uses the library without a warning', async () => {
    const program = join(work, 'program.mjs');
    await writeFile(program, PROGRAM);
    const { code, stdout, stderr } = await runCommand(process.execPath, [program, work], {});
    expect([code, stderr, stdout]).toEqual([0, '', '1\n']);
  });
});
