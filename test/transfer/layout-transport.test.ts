import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { OciLayout } from '../../src/content/index.js';
import { LayoutDestination } from '../../src/transfer/transports/layout-destination.js';
import { LayoutTransport, stateOfIndex } from '../../src/transfer/transports/layout-transport.js';
import { putImages } from '../support/archived-images.js';
import { makeTinyLayout } from '../support/tiny-image.js';

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-layout-place-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

test('the index of a layout is read once for many images, and anew when somebody has changed it', async () => {
  const directory = join(work, 'layout');
  const layout = await makeTinyLayout(join(work, 'image'));
  const put = async (...tags: string[]): Promise<void> => {
    await using transport = await LayoutDestination.open(directory);
    await putImages(
      transport,
      tags.map((tag) => ({ layout, repository: 'docker.io/team/app', tag })),
    );
  };
  await put('1', '2', '3');
  const content = await OciLayout.open(directory);
  let reads = 0;
  const counted = {
    info: (...of: Parameters<OciLayout['info']>) => content.info(...of),
    open: (...of: Parameters<OciLayout['open']>) => content.open(...of),
    path: (...of: Parameters<OciLayout['path']>) => content.path(...of),
    index: () => {
      reads += 1;
      return content.index();
    },
  };
  const transport = new LayoutTransport({ content: counted, location: `oci:${directory}`, path: directory });
  const repository = transport.repository('docker.io/team/app');
  // What was written just now is not trusted to be the last.
  while ((await stateOfIndex(directory)) === undefined) await sleep(10);
  for (const tag of ['1', '2', '3', '1', '2', '3']) expect(await repository.resolve(tag)).toBeDefined();
  expect(reads).toBe(1);
  expect(await repository.resolve('4')).toBeUndefined();
  await put('4');
  expect(await repository.resolve('4')).toBeDefined();
  await put('5');
  expect(await repository.resolve('5')).toBeDefined();
});
