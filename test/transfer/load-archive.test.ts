import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ArchiveDestination } from '../../src/transfer/transports/archives/archive-destination.js';
import { openArchive } from '../../src/transfer/transports/archives/open-archive.js';
import { copy } from '../../src/transfer/copy/copy.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import { ArchiveLoader } from '../../src/transfer/copy/load-archive.js';
import { addImage } from '../support/memory-images.js';
import { MemoryTransport, type MemoryRepository } from '../support/memory-transport.js';

const NAME = 'there.example/app';

describe('what refers to something, in an archive', () => {
  let work: string;
  let files = 0;
  let file: string;
  let source: MemoryRepository;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-loader-'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));
  beforeEach(() => {
    file = join(work, `${(files += 1)}.tar`);
    source = new MemoryTransport('there.example').repository(NAME);
  });

  /** What is loaded, and the digests of what has no name. */
  const loaded = async (name?: string): Promise<{ transport: MemoryTransport; nameless: string[] }> => {
    await using archive = await openArchive({ file });
    const transport = new MemoryTransport('there.example', { sparse: true });
    const loader = new ArchiveLoader({ archive, destination: transport, session: new CopySession(), name });
    const { images, nameless } = await loader.plan();
    for (const image of images) await loader.load(image);
    return { transport, nameless: nameless.map(({ digest }) => digest) };
  };

  test('comes along with what it refers to', async () => {
    const image = addImage(source, { tag: '1' });
    addImage(source, { subject: image, layers: ['sbom'] });
    await using archive = await ArchiveDestination.open({ file });
    const request = { from: '1', tag: '1', platforms: 'all' as const, referrers: {} };
    await copy(source, archive.repository(NAME), request, new CopySession());
    await archive.finish();
    const { transport, nameless } = await loaded();
    expect(nameless).toEqual([]);
    expect(transport.repository(NAME).everything).toEqual(source.everything);
  });

  test('is told of where that is not in it, and loaded under the name that it is given', async () => {
    const image = addImage(source, { tag: '1' });
    const sbom = addImage(source, { subject: image, layers: ['sbom'] });
    await using archive = await ArchiveDestination.open({ file });
    const request = { from: sbom.digest, platforms: 'all' as const };
    await copy(source, archive.repository(NAME), request, new CopySession());
    await archive.finish();
    expect((await loaded()).nameless).toEqual([sbom.digest]);
    const { transport } = await loaded(`${NAME}:sbom`);
    expect(transport.repository(NAME).everything.tags).toEqual({ sbom: sbom.digest });
  });
});
