import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { ContentStore } from '../../src/content/index.js';
import { type Descriptor, type Digest, parseDigest } from '../../src/spec/index.js';
import { SharedOffset } from '../../src/system/index.js';
import * as blobs from '../content/blobs.js';
import { begin, contentOf, digestIn, finish } from '../content/blobs.js';

/** What a store under test is made of; `close` is called after each test. */
export interface StoreUnderTest {
  readonly store: ContentStore;
  readonly close: () => Promise<void>;
}

const code = (expected: string): unknown => expect.objectContaining({ code: expected });

/**
 * Runs the contract of {@link ContentStore} over an implementation, with digests of each algorithm that can
 * be verified.
 */
export function contentStoreSuite(name: string, make: () => Promise<StoreUnderTest>): void {
  describe.each(['sha256', 'sha512'] as const)(`content store: ${name}, %s`, (algorithm) => {
    const describing = (bytes: Uint8Array): Descriptor => blobs.describing(bytes, algorithm);
    const put = (to: ContentStore, bytes: Uint8Array): Promise<Descriptor> => blobs.put(to, bytes, algorithm);
    let store: ContentStore;
    let close: () => Promise<void>;
    beforeEach(async () => ({ store, close } = await make()));
    afterEach(() => close());

    describe('arrival', () => {
      it.each([
        ['no byte at all', 0],
        ['one byte', 1],
        ['some chunks', 300_000],
        ['more than one piece', 3 * 1024 * 1024 + 1],
      ])('keeps %s', async (_, size) => {
        const bytes = randomBytes(size);
        const descriptor = describing(bytes);
        await using writer = await begin(store, descriptor);
        for (let at = 0; at < size; at += 65_536) await writer.write(at, bytes.subarray(at, at + 65_536));
        expect(await store.info(descriptor.digest)).toBeUndefined();
        expect(writer.missing()).toEqual([]);
        const info = await writer.commit();
        expect(info).toMatchObject({ digest: descriptor.digest, size });
        expect(await store.info(descriptor.digest)).toMatchObject({ digest: descriptor.digest, size });
        expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
      });

      const bytes = randomBytes(100);
      it.each<[string, [at: number, end: number][], number[]]>([
        ['in order', [[0, 50], [50, 100]], [50, 100]], // prettier-ignore
        ['backwards', [[50, 100], [20, 50], [0, 20]], [0, 0, 100]], // prettier-ignore
        // prettier-ignore
        ['with a gap that closes', [[0, 10], [20, 30], [40, 100], [10, 20], [30, 40]], [10, 10, 10, 30, 100]],
        ['overlapping', [[0, 60], [40, 100]], [60, 100]], // prettier-ignore
        ['over what is there', [[30, 40], [0, 100], [10, 20]], [0, 100, 100]], // prettier-ignore
        ['across two islands', [[10, 20], [30, 40], [0, 100]], [0, 0, 100]], // prettier-ignore
      ])('takes writes %s', async (_, writes, sharedOffsets) => {
        const descriptor = describing(bytes);
        await using writer = await begin(store, descriptor);
        const seen: number[] = [];
        for (const [at, end] of writes) {
          await writer.write(at, bytes.subarray(at, end));
          seen.push(writer.offset);
          expect(new SharedOffset(writer.shared).bytes).toBe(writer.offset);
        }
        expect(seen).toEqual(sharedOffsets);
        await writer.commit();
        expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
      });

      it('takes many writes at once, in any order', async () => {
        const large = randomBytes(4 * 1024 * 1024);
        const descriptor = describing(large);
        await using writer = await begin(store, descriptor);
        const chunks = Array.from({ length: 64 }, (_, index) => (index * 37) % 64);
        await Promise.all(
          chunks.map((index) =>
            writer.write(index * 65_536, large.subarray(index * 65_536, (index + 1) * 65_536)),
          ),
        );
        expect(writer.offset).toBe(large.length);
        await writer.commit();
        expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
      });

      it('never changes a byte that was written, though a later write says another', async () => {
        const descriptor = describing(bytes);
        await using writer = await begin(store, descriptor);
        const other = Buffer.alloc(60, 0xff);
        await Promise.all([writer.write(0, bytes.subarray(0, 60)), writer.write(20, other.subarray(0, 40))]);
        await writer.write(0, other);
        await writer.write(60, bytes.subarray(60));
        await writer.commit();
        expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
      });

      it.each([
        ['past the end', 90, 11],
        ['before the start', -1, 5],
        ['at half a byte', 0.5, 5],
      ])('refuses a write %s', async (_, at, length) => {
        await using writer = await begin(store, describing(bytes));
        await expect(writer.write(at, Buffer.alloc(length))).rejects.toEqual(code('SIZE_MISMATCH'));
        expect(writer.offset).toBe(0);
      });

      it('refuses a digest that it cannot verify', async () => {
        const digest = parseDigest('blake3:abc');
        await expect(store.ingest({ ...describing(bytes), digest })).rejects.toEqual(code('INVALID_DIGEST'));
      });
    });

    describe('commit', () => {
      const bytes = randomBytes(1000);

      it('refuses a blob that is short, and takes the rest afterwards', async () => {
        const descriptor = describing(bytes);
        await using writer = await begin(store, descriptor);
        await writer.write(0, bytes.subarray(0, 999));
        await expect(writer.commit()).rejects.toMatchObject({
          code: 'SIZE_MISMATCH',
          details: { expected: 1000, actual: 999 },
        });
        expect(await store.info(descriptor.digest)).toBeUndefined();
        await writer.write(999, bytes.subarray(999));
        await writer.commit();
        expect(await store.info(descriptor.digest)).toBeDefined();
      });

      it('refuses other content, keeps nothing of it, and blames the source', async () => {
        const descriptor = describing(bytes);
        const shared = await (async () => {
          await using writer = await begin(store, descriptor);
          await writer.write(0, randomBytes(1000));
          await expect(writer.commit()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH', retryable: false });
          return writer.shared;
        })();
        expect(new SharedOffset(shared).state).toBe('failed');
        expect(await store.info(descriptor.digest)).toBeUndefined();
        await using again = await begin(store, descriptor);
        expect(again.offset).toBe(0);
      });

      it('blames the partial where a part of it was there before', async () => {
        const descriptor = describing(bytes);
        await (async () => {
          await using writer = await begin(store, descriptor);
          await writer.write(0, randomBytes(500));
        })();
        await using resumed = await begin(store, descriptor);
        await resumed.write(500, bytes.subarray(500));
        await expect(resumed.commit()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH', retryable: true });
        await using again = await begin(store, descriptor);
        expect(again.offset).toBe(0);
      });

      it('tells readers that the content is whole', async () => {
        const descriptor = describing(bytes);
        await using writer = await begin(store, descriptor);
        const sharedOffset = new SharedOffset(writer.shared);
        await writer.write(0, bytes);
        expect(sharedOffset.state).toBe('growing');
        await writer.commit();
        expect([sharedOffset.state, sharedOffset.bytes]).toEqual(['complete', 1000]);
      });

      it('ends the writer', async () => {
        await using writer = await begin(store, describing(bytes));
        await writer.write(0, bytes);
        await writer.commit();
        await expect(writer.write(0, bytes)).rejects.toThrow('has ended');
        await expect(writer.commit()).rejects.toThrow('has ended');
      });
    });

    describe('a partial', () => {
      const bytes = randomBytes(2 * 1024 * 1024 + 17);

      it('goes on where it was left', async () => {
        const descriptor = describing(bytes);
        const first = await begin(store, descriptor);
        await first.write(0, bytes.subarray(0, 1_500_000));
        await first[Symbol.asyncDispose]();
        expect(new SharedOffset(first.shared).state).toBe('failed');
        await using second = await begin(store, descriptor);
        expect(second.offset).toBe(1_500_000);
        expect(new SharedOffset(second.shared).bytes).toBe(1_500_000);
        await second.write(1_500_000, bytes.subarray(1_500_000));
        await second.commit();
        expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
      });

      it('says what is missing of it, from the whole to nothing', async () => {
        const descriptor = describing(bytes);
        await using writer = await begin(store, descriptor);
        expect(writer.missing()).toEqual([{ start: 0, end: bytes.length }]);
        await writer.write(100, bytes.subarray(100, 200));
        // prettier-ignore
        expect(writer.missing()).toEqual([{ start: 0, end: 100 }, { start: 200, end: bytes.length }]);
        await writer.write(200, bytes.subarray(200));
        await writer.write(0, bytes.subarray(0, 100));
        expect(writer.missing()).toEqual([]);
      });

      it.each<[string, [at: number, end: number][][], number]>([
        ['beyond the frontier', [[[0, 100], [500, 600]]], 100], // prettier-ignore
        ['without a start', [[[500, 600]]], 0],
        ['at the end', [[[1_000_000, bytes.length], [0, 1]]], 1], // prettier-ignore
        ['in several pieces', [[[10, 20], [30, 40], [50, 60]]], 0], // prettier-ignore
        // prettier-ignore
        ['by one writer after the other', [[[0, 100], [500, 600]], [[900, 1000]], [[100, 400]]], 400],
        ['with a gap that a later writer closes', [[[500, 1_500_000]], [[0, 500]]], 1_500_000],
      ])('keeps what arrived %s, and takes only the rest', async (_, writers, sharedOffset) => {
        const descriptor = describing(bytes);
        for (const writes of writers) {
          await using writer = await begin(store, descriptor);
          for (const [at, end] of writes) await writer.write(at, bytes.subarray(at, end));
        }
        await using last = await begin(store, descriptor);
        expect(last.offset).toBe(sharedOffset);
        expect(new SharedOffset(last.shared).bytes).toBe(sharedOffset);
        const missing = last.missing().reduce((sum, { start, end }) => sum + end - start, 0);
        expect(missing).toBe(bytes.length - writers.flat().reduce((sum, [at, end]) => sum + end - at, 0));
        for (const { start, end } of last.missing()) await last.write(start, bytes.subarray(start, end));
        await last.commit();
        expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
      });

      it('never changes a byte that an earlier writer wrote', async () => {
        const descriptor = describing(bytes);
        await (async () => {
          await using writer = await begin(store, descriptor);
          await writer.write(0, bytes.subarray(0, 100));
          await writer.write(500, bytes.subarray(500, 600));
        })();
        await using resumed = await begin(store, descriptor);
        await resumed.write(0, randomBytes(100));
        await resumed.write(500, randomBytes(100));
        await resumed.write(0, bytes);
        await resumed.commit();
        expect(await digestIn(store, descriptor)).toBe(descriptor.digest);
      });

      it('digests what arrived beyond the frontier as well: what is wrong there is found, and blamed on it', async () => {
        const descriptor = describing(bytes);
        await (async () => {
          await using writer = await begin(store, descriptor);
          await writer.write(500, randomBytes(100));
        })();
        await using resumed = await begin(store, descriptor);
        for (const { start, end } of resumed.missing())
          await resumed.write(start, bytes.subarray(start, end));
        await expect(resumed.commit()).rejects.toMatchObject({ code: 'DIGEST_MISMATCH', retryable: true });
        await using again = await begin(store, descriptor);
        expect(again.missing()).toEqual([{ start: 0, end: bytes.length }]);
      });

      it('is gone when it was discarded', async () => {
        const descriptor = describing(bytes);
        const first = await begin(store, descriptor);
        await first.write(0, bytes.subarray(0, 100));
        await first.write(500, bytes.subarray(500, 600));
        await first.discard();
        expect(new SharedOffset(first.shared).state).toBe('failed');
        await using second = await begin(store, descriptor);
        expect(second.missing()).toEqual([{ start: 0, end: bytes.length }]);
      });

      it.each([
        ['the start', 0],
        ['a later part', 30],
      ])('is not taken for a blob of a smaller size than it has in %s', async (_, at) => {
        const descriptor = describing(bytes);
        const first = await begin(store, descriptor);
        await first.write(at, bytes.subarray(at, 100));
        await first[Symbol.asyncDispose]();
        await using second = await begin(store, { ...descriptor, size: 50 });
        expect(second.missing()).toEqual([{ start: 0, end: 50 }]);
      });
    });

    describe('one writer for each blob', () => {
      const bytes = randomBytes(5000);

      it('needs none for a blob that is here', async () => {
        const descriptor = await put(store, bytes);
        expect(await store.ingest(descriptor)).toBeUndefined();
      });

      it('refuses a descriptor that gives a blob that is here another size', async () => {
        const descriptor = await put(store, bytes);
        await expect(store.ingest({ ...descriptor, size: 1 })).rejects.toEqual(code('SIZE_MISMATCH'));
      });

      it('lets others wait until it has committed', async () => {
        const descriptor = describing(bytes);
        const writer = await begin(store, descriptor);
        const others = [store.ingest(descriptor), store.ingest(descriptor)];
        await writer.write(0, bytes);
        await writer.commit();
        expect(await Promise.all(others)).toEqual([undefined, undefined]);
      });

      it('lets one of those that wait take over', async () => {
        const descriptor = describing(bytes);
        const writer = await begin(store, descriptor);
        const others = Promise.all([finish(store, descriptor, bytes), finish(store, descriptor, bytes)]);
        await writer.write(0, bytes.subarray(0, 1000));
        await writer[Symbol.asyncDispose]();
        expect((await others).sort()).toEqual([1000, undefined]);
      });

      it('gives exactly one of many that come at once the writer', async () => {
        const descriptor = describing(bytes);
        const outcomes = await Promise.all(
          Array.from({ length: 10 }, () => finish(store, descriptor, bytes)),
        );
        expect(outcomes.filter((outcome) => outcome !== undefined)).toEqual([0]);
      });

      it('tells those who wait how far it is, and nobody else', async () => {
        const descriptor = describing(bytes);
        const reported: unknown[] = [];
        const late: unknown[] = [];
        const writer = await store.ingest(descriptor, { onWait: (progress) => late.push(progress) });
        const waiting = store.ingest(descriptor, { onWait: (progress) => reported.push(progress) });
        await writer?.write(0, bytes.subarray(0, 1000));
        await writer?.write(2000, bytes.subarray(2000, 2500));
        await vi.waitFor(() => expect(reported).toContainEqual({ bytes: 1500, size: bytes.length }), {
          timeout: 30_000,
        });
        await writer?.write(0, bytes);
        await writer?.commit();
        expect(await waiting).toBeUndefined();
        const count = reported.length;
        await sleep(300);
        expect([reported.length, late.length]).toEqual([count, 0]);
      });

      it('ends a wait with what its callback throws, and that of nobody else', async () => {
        const descriptor = describing(bytes);
        const writer = await begin(store, descriptor);
        const thrown = new Error('the caller fails');
        const failing = store.ingest(descriptor, {
          onWait: () => {
            throw thrown;
          },
        });
        const other = finish(store, descriptor, bytes);
        await expect(failing).rejects.toBe(thrown);
        await writer.write(0, bytes.subarray(0, 1000));
        await writer[Symbol.asyncDispose]();
        expect(await other).toBe(1000);
        expect(await store.ingest(descriptor)).toBeUndefined();
      });

      it('lets a wait be aborted', async () => {
        const descriptor = describing(bytes);
        await using writer = await begin(store, descriptor);
        const controller = new AbortController();
        const waiting = store.ingest(descriptor, { signal: controller.signal });
        controller.abort();
        await expect(waiting).rejects.toEqual(code('ABORTED'));
        expect(writer.offset).toBe(0);
      });

      it('does not begin when it was aborted before', async () => {
        const signal = AbortSignal.abort();
        await expect(store.ingest(describing(bytes), { signal })).rejects.toEqual(code('ABORTED'));
      });
    });

    describe('reading', () => {
      const bytes = randomBytes(700_000);

      it.each([
        ['the whole', undefined, 0, 700_000],
        ['from an offset', { offset: 300_000 }, 300_000, 700_000],
        ['a part', { offset: 10, length: 20 }, 10, 30],
        ['past the end', { offset: 699_999, length: 20 }, 699_999, 700_000],
        ['nothing, at the end', { offset: 700_000 }, 700_000, 700_000],
        ['nothing, within', { offset: 5, length: 0 }, 5, 5],
      ])('gives %s', async (_, range, start, end) => {
        const descriptor = await put(store, bytes);
        const content = await contentOf(await store.open(descriptor, range));
        expect(content.equals(bytes.subarray(start, end))).toBe(true);
      });

      it.each([
        ['before the start', { offset: -1 }],
        ['beyond the end', { offset: 700_001 }],
        ['of negative length', { offset: 0, length: -1 }],
        ['of half a byte', { offset: 0, length: 0.5 }],
      ])('refuses a range %s', async (_, range) => {
        const descriptor = await put(store, bytes);
        await expect(store.open(descriptor, range)).rejects.toEqual(code('INVALID_CONFIG'));
      });

      it('says that a blob is not here', async () => {
        const descriptor = describing(bytes);
        await expect(store.open(descriptor)).rejects.toEqual(code('BLOB_NOT_FOUND'));
        await expect(store.path(descriptor.digest)).rejects.toEqual(code('BLOB_NOT_FOUND'));
      });

      it('does not give a blob under another size', async () => {
        const descriptor = await put(store, bytes);
        await expect(store.open({ ...descriptor, size: 5 })).rejects.toEqual(code('SIZE_MISMATCH'));
      });

      it('may be broken off', async () => {
        const stream = await store.open(await put(store, bytes));
        await new Promise((resolve) => stream.once('readable', resolve));
        stream.destroy();
        await new Promise((resolve) => stream.once('close', resolve));
        expect(stream.destroyed).toBe(true);
      });
    });

    describe('what is known of a blob', () => {
      const bytes = Buffer.from('known');

      it('is where it came from', async () => {
        const descriptor = describing(bytes);
        await using writer = await store.ingest(descriptor, { source: 'quay.io/a/b' });
        await writer?.write(0, bytes);
        const info = await writer?.commit();
        expect(info).toMatchObject({ source: 'quay.io/a/b', labels: {} });
        expect(await store.info(descriptor.digest)).toEqual(info);
        expect(info?.createdAt.getTime()).toBeGreaterThan(Date.now() - 60_000);
      });

      it('is nothing about where it came from, when nobody said', async () => {
        const { digest } = await put(store, bytes);
        expect(await store.info(digest)).not.toHaveProperty('source');
      });

      it('is its labels, which are replaced as a whole', async () => {
        const { digest } = await put(store, bytes);
        const other = await put(store, Buffer.from('other'));
        // prettier-ignore
        expect(await store.update(digest, { labels: { a: '1', b: '2' } })).toMatchObject({ digest, labels: { a: '1', b: '2' } });
        const updated = await store.update(digest, { labels: { c: '3' } });
        expect(updated.labels).toEqual({ c: '3' });
        expect(await store.info(digest)).toEqual(updated);
        expect(await store.info(other.digest)).toMatchObject({ labels: {} });
        const listed: unknown[] = [];
        for await (const info of store.list()) if (info.digest === digest) listed.push(info);
        expect(listed).toEqual([updated]);
      });

      it('is nothing at all where it is not here', async () => {
        const { digest } = describing(bytes);
        await expect(store.update(digest, { labels: {} })).rejects.toEqual(code('BLOB_NOT_FOUND'));
        const { digest: gone } = await put(store, Buffer.from('gone'));
        await store.delete(gone);
        await expect(store.update(gone, { labels: {} })).rejects.toEqual(code('BLOB_NOT_FOUND'));
      });
    });

    describe('listing and deleting', () => {
      it('lists what is committed', async () => {
        const descriptors = [];
        for (const text of ['a', 'b', 'c']) descriptors.push(await put(store, Buffer.from(text)));
        await using partial = await begin(store, describing(Buffer.from('d')));
        await partial.write(0, Buffer.from('d'));
        const listed: Digest[] = [];
        for await (const info of store.list()) listed.push(info.digest);
        expect(listed).toEqual(descriptors.map((each) => each.digest).sort());
      });

      it('deletes, and takes the blob anew', async () => {
        const bytes = Buffer.from('gone and back');
        const { digest } = await put(store, bytes);
        await store.delete(digest);
        expect(await store.info(digest)).toBeUndefined();
        await store.delete(digest);
        await put(store, bytes);
        expect(await store.info(digest)).toBeDefined();
      });

      it('does not delete a blob that is being written', async () => {
        const descriptor = describing(Buffer.from('x'));
        await using writer = await begin(store, descriptor);
        await expect(store.delete(descriptor.digest)).rejects.toEqual(code('IN_USE'));
        expect(writer.offset).toBe(0);
      });

      it('keeps a partial when it deletes the blob that is not there', async () => {
        const bytes = Buffer.from('partial');
        const descriptor = describing(bytes);
        const writer = await begin(store, descriptor);
        await writer.write(0, bytes.subarray(0, 3));
        await writer[Symbol.asyncDispose]();
        await store.delete(descriptor.digest);
        await using again = await begin(store, descriptor);
        expect(again.offset).toBe(3);
      });
    });
  });
}
