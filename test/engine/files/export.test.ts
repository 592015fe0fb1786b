import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OciLayout } from '../../../src/content/index.js';
import {
  exportTarget,
  type ExportImageOptions,
  type ExportImageResult,
} from '../../../src/engine/files/unpack.js';
import { listArchive } from '../../support/archive-listing.js';
import { collected } from '../../support/exported.js';
import { makeTinyLayout, type TinyLayout, type TinyLayoutOptions } from '../../support/tiny-image.js';

let work: string;
beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'landfall-export-'));
});
afterEach(() => rm(work, { recursive: true }));

async function exportTiny(
  image: TinyLayoutOptions = {},
  options: Partial<ExportImageOptions> = {},
): Promise<{ readonly layout: TinyLayout; readonly result: ExportImageResult }> {
  const layout = await makeTinyLayout(work, image);
  const content = await OciLayout.open(work);
  return { layout, result: await exportTarget({ content, target: layout.target, ...options }) };
}

describe('exportImage', () => {
  it('tells of the image, and gives its merged root file system', async () => {
    const { layout, result } = await exportTiny();
    const [{ manifest, config, layers, diffIds }] = layout.manifests;
    expect(result).toMatchObject({
      digest: manifest.digest,
      imageId: config.digest,
      platform: { os: 'linux', architecture: 'amd64' },
      layers: layers.map((descriptor, i) => ({ descriptor, diffId: diffIds[i] })),
      chainId: result.layers.at(-1)?.chainId,
    });
    const listing = listArchive(await collected(result.archive));
    expect(Object.keys(listing).sort()).toEqual([
      '',
      'bin',
      'bin/hail',
      'etc',
      'etc/harbour',
      'etc/manifest',
    ]);
    expect(listing['etc/manifest']).toMatchObject({ type: 'file', content: 'ropes\n' });
  });

  it('takes the platform that is asked for', async () => {
    const platforms = ['linux/amd64', 'linux/arm64'];
    const { layout, result } = await exportTiny(
      { platforms },
      { platform: { os: 'linux', architecture: 'arm64' } },
    );
    expect(result.digest).toBe(layout.manifests[1]?.manifest.digest);
  });

  it('obeys the limits', async () => {
    await expect(exportTiny({}, { limits: { layers: 1 } })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  it('is aborted by its signal', async () => {
    await expect(exportTiny({}, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' });
  });
});
