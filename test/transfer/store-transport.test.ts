import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { collectGarbage } from '../../src/engine/upkeep/collect-garbage.js';
import { openStore, type Store } from '../../src/engine/store.js';
import { ContentError, RegistryError } from '../../src/errors.js';
import { childrenOf, type Descriptor, digestOf, MEDIA_TYPES, parseManifest } from '../../src/spec/index.js';
import { copy } from '../../src/transfer/copy/copy.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import { StoreTransport, type StoreRepository } from '../../src/transfer/transports/store-transport.js';
import { deferred } from '../../src/concurrency/index.js';
import { addImage, addIndex, AMD64, ARM64 } from '../support/memory-images.js';
import { MemoryTransport, type MemoryRepository } from '../support/memory-transport.js';

const NAME = 'there.example/app';

async function all<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of iterable) found.push(one);
  return found;
}

describe('the store as a place', () => {
  let root: string;
  let store: Store;
  let transport: StoreTransport;
  let repository: StoreRepository;
  let source: MemoryRepository;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'landfall-store-place-'));
    store = await openStore({ root });
    transport = new StoreTransport({ store });
    repository = transport.repository(NAME);
    source = new MemoryTransport('there.example').repository(NAME);
  });
  afterEach(async () => {
    await transport[Symbol.asyncDispose]();
    await store.close();
    await rm(root, { recursive: true, force: true });
  });

  const bytes = Buffer.alloc(300_000, 'landfall');
  const blob: Descriptor = { mediaType: MEDIA_TYPES.ociLayer, digest: digestOf(bytes), size: bytes.length };
  const whole = (offset = 0): Promise<Readable> => Promise.resolve(Readable.from([bytes.subarray(offset)]));

  async function copied(tag: string | undefined = '1'): Promise<void> {
    const request = { from: '1', tag, platforms: 'all' as const, referrers: {} };
    await copy(source, repository, request, new CopySession());
  }

  it('leases again after a lease could not be had', async () => {
    const locked = new ContentError('LOCKED', 'another process writes to the database');
    vi.spyOn(store.leases, 'create').mockRejectedValueOnce(locked);
    await expect(transport.lease(blob)).rejects.toBe(locked);
    await transport.lease(blob);
    expect((await store.leases.resources()).blobs).toEqual(new Set([blob.digest]));
  });

  it('is disposed of where no lease could be had', async () => {
    vi.spyOn(store.leases, 'create').mockRejectedValueOnce(new ContentError('LOCKED', 'it is locked'));
    await expect(transport.lease(blob)).rejects.toMatchObject({ code: 'LOCKED' });
    await transport[Symbol.asyncDispose]();
  });

  it('has what was put, by its name', async () => {
    const target = addImage(source, { tag: '1' });
    await copied();
    expect(await repository.resolve('1')).toEqual(target);
    expect(await repository.stored('1')).toEqual(target);
    expect(await repository.resolve(target.digest)).toEqual(target);
    expect(await all(repository.tags())).toEqual(['1']);
    expect(await transport.repositories()).toEqual([NAME]);
    expect(await transport.repository('there.example/other').resolve('1')).toBeUndefined();
  });

  it('keeps what has no tag under its digest, and finds what it refers to', async () => {
    const target = addImage(source, { tag: '1' });
    const sbom = addImage(source, {
      subject: target,
      artifactType: 'application/spdx+json',
      layers: ['sbom'],
    });
    await copied();
    expect(await store.images.get(`${NAME}@${sbom.digest}`)).toBeDefined();
    expect(await all(repository.referrers(target.digest))).toEqual([
      { ...sbom, artifactType: 'application/spdx+json' },
    ]);
    expect(await all(repository.tags())).toEqual(['1']);
  });

  it('is looked at again, and gets what it has lost', async () => {
    addImage(source, { tag: '1', layers: ['a', 'b'] });
    await copied();
    const lost = digestOf(Buffer.from('b'));
    await store.content.delete(lost);
    source.transport.calls.length = 0;
    await copied();
    // Its manifest, which says what is to be there, and the layer.
    expect(source.transport.count('fetch')).toBe(2);
    expect(await store.content.info(lost)).toBeDefined();
  });

  it('keeps what was found there from being collected until it has a name', async () => {
    const amd64 = addImage(source, { layers: ['amd64'] });
    const arm64 = addImage(source, { layers: ['arm64'], platform: ARM64 });
    addIndex(
      source,
      [
        [amd64, AMD64],
        [arm64, ARM64],
      ],
      '1',
    );
    // A copy that broke off has left it without a name.
    const earlier = new StoreTransport({ store });
    const parts = parseManifest(await buffer(await source.fetch(amd64)), amd64.mediaType);
    for (const part of [...childrenOf(parts), amd64]) {
      await earlier.repository(NAME).put(part, () => source.fetch(part));
    }
    await earlier[Symbol.asyncDispose]();
    const found = deferred<undefined>();
    source.transport.onCall = async (call) => {
      if (call !== `fetch ${digestOf(Buffer.from('arm64'))}`) return;
      await found.promise;
      await collectGarbage(store);
    };
    const session = new CopySession({
      onEvent: (event) => {
        if (event.type !== 'content' || event.descriptor.digest !== amd64.digest) return;
        if (event.state === 'exists') found.resolve(undefined);
      },
    });
    await copy(source, repository, { from: '1', tag: '1', platforms: 'all' }, session);
    expect(await store.content.info(digestOf(Buffer.from('amd64')))).toBeDefined();
  });

  it('gives content away as a source', async () => {
    addImage(source, { tag: '1', layers: ['a', 'b'] });
    await copied();
    const back = new MemoryTransport('back.example').repository('back.example/app');
    await copy(repository, back, { from: '1', tag: '1', platforms: 'all' }, new CopySession());
    expect(back.everything).toEqual(source.everything);
  });

  it('knows of platforms of which nothing is recorded, if they are whole', async () => {
    const [amd64, arm64] = [AMD64, ARM64].map((platform) =>
      addImage(source, { platform, layers: [platform.architecture] }),
    );
    if (amd64 === undefined || arm64 === undefined) throw new Error('there are two');
    addIndex(
      source,
      [
        [amd64, AMD64],
        [arm64, ARM64],
      ],
      '1',
    );
    await copied();
    await store.database.run('DELETE FROM documents');
    await store.content.delete(digestOf(Buffer.from(ARM64.architecture)));
    expect(await repository.resolve(amd64.digest)).toEqual(amd64);
    expect(await repository.resolve(arm64.digest)).toBeUndefined();
  });

  it('goes on where a source broke, and asks for no byte twice', async () => {
    const asked: number[] = [];
    const outcome = await repository.put(blob, (offset = 0) => {
      asked.push(offset);
      return Promise.resolve(Readable.from(offset === 0 ? broken() : [bytes.subarray(offset)]));
    });
    expect(outcome).toBe('copied');
    expect(asked).toEqual([0, 100_000]);
    expect(await repository.put(blob, whole)).toBe('exists');

    function* broken(): Generator<Buffer> {
      yield bytes.subarray(0, 100_000);
      throw new RegistryError('UNAVAILABLE', 'the line broke', { retryable: true });
    }
  });

  it('goes on where an earlier try ended', async () => {
    function* broken(): Generator<Buffer> {
      yield bytes.subarray(0, 100_000);
      throw new RegistryError('DENIED', 'no more of it');
    }
    const first = repository.put(blob, () => Promise.resolve(Readable.from(broken())));
    await expect(first).rejects.toMatchObject({ code: 'DENIED' });
    const asked: number[] = [];
    await repository.put(blob, (offset = 0) => {
      asked.push(offset);
      return whole(offset);
    });
    expect(asked).toEqual([100_000]);
  });

  it('gives up a source that brings nothing', async () => {
    let asked = 0;
    const fails = repository.put(blob, () => {
      asked += 1;
      return Promise.reject(new RegistryError('UNAVAILABLE', 'away', { retryable: true }));
    });
    await expect(fails).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(asked).toBeLessThan(10);
  });

  it('takes no other bytes', async () => {
    const other = repository.put(blob, () => Promise.resolve(Readable.from([Buffer.alloc(bytes.length)])));
    await expect(other).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' });
    expect(await repository.has(blob)).toBe(false);
  });

  it('lets go of names', async () => {
    const target = addImage(source, { tag: '1' });
    await copied();
    await copied('2');
    await repository.deleteTag('1');
    await expect(repository.deleteTag('1')).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    expect(await all(repository.tags())).toEqual(['2']);
    await repository.deleteManifest(target.digest);
    expect(await transport.repositories()).toEqual([]);
  });

  it('says plainly that it dropped a layer', async () => {
    addImage(source, { tag: '1', layers: ['a'] });
    await copied();
    const digest = digestOf(Buffer.from('a'));
    await store.content.delete(digest);
    await store.database.run(
      'INSERT INTO discarded (digest, size, source, discarded_at) VALUES (?, ?, ?, ?)',
      [digest, 1, NAME, Date.now()],
    );
    const layer = { mediaType: MEDIA_TYPES.ociLayer, digest, size: 1 };
    await expect(repository.fetch(layer)).rejects.toMatchObject({
      code: 'BLOB_NOT_FOUND',
      message: expect.stringContaining('dropped') as string,
      hint: expect.stringContaining('--no-unpack') as string,
    });
  });
});
