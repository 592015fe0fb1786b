import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { type Lease, LeaseStore } from '../../src/content/index.js';
import { MetadataDatabase } from '../../src/metadata/index.js';
import { SqliteConnection } from '../../src/metadata/sqlite-connection.js';
import { describing } from './blobs.js';
import { type ScratchRoot, scratchRoot } from './scratch-root.js';
import { StoreProcess } from './start-store-process.js';

const { digest } = describing(Buffer.from('a'));
const other = describing(Buffer.from('b')).digest;

describe('LeaseStore', () => {
  let scratch: ScratchRoot;
  let leases: LeaseStore;
  beforeEach(async () => {
    scratch = await scratchRoot();
    leases = new LeaseStore(scratch.database);
  });
  afterEach(async () => {
    vi.useRealTimers();
    await scratch[Symbol.asyncDispose]();
  });

  const blobs = async (): Promise<unknown[]> => [...(await leases.resources()).blobs].sort();
  const expireAll = (): Promise<unknown> => scratch.database.run('UPDATE leases SET expires_at = 1');

  it('protects what was added, until it is disposed', async () => {
    const lease = await leases.create();
    await lease.addBlob(digest);
    await lease.addBlob(digest, other);
    await lease.addSnapshot('layer-1');
    expect(await leases.resources()).toEqual({
      blobs: new Set([digest, other]),
      snapshots: new Set(['layer-1']),
    });
    await lease[Symbol.asyncDispose]();
    expect(await leases.resources()).toEqual({ blobs: new Set(), snapshots: new Set() });
    expect(await scratch.database.all('SELECT * FROM lease_resources')).toEqual([]);
  });

  it('holds blobs for a time without a process, and lets go of one by the beginning of its id', async () => {
    await leases.hold('pushed team/app 1', [digest, other], { ttlMs: 60_000 });
    await leases.hold('pushed team/app 2', [digest], { ttlMs: 60_000 });
    await leases.hold('pushed team/application 1', [other], { ttlMs: 60_000 });
    await leases.sweep();
    expect(await blobs()).toEqual([digest, other].sort());
    await leases.release('pushed team/app ', [digest, other]);
    expect(await blobs()).toEqual([other]);
    await expireAll();
    expect(await blobs()).toEqual([]);
    await leases.hold('pushed team/application 1', [], { ttlMs: 60_000 });
    expect(await blobs()).toEqual([other]);
  });

  it('protects a thing while one of several leases does', async () => {
    const first = await leases.create();
    await using second = await leases.create();
    await first.addBlob(digest);
    await second.addBlob(digest);
    await first[Symbol.asyncDispose]();
    expect(await blobs()).toEqual([digest]);
  });

  it('lasts for an hour beyond its process, or as long as was asked for', async () => {
    const before = Date.now();
    await using hour = await leases.create();
    await using minute = await leases.create({ ttlMs: 60_000 });
    const after = Date.now();
    for (const [lease, ttl] of [
      [hour, 3_600_000],
      [minute, 60_000],
    ] as const) {
      // prettier-ignore
      const row = await scratch.database.get('SELECT expires_at FROM leases WHERE id = ?', [lease.id]);
      const expiresAt = Number(row?.['expires_at']);
      expect(expiresAt).toBeGreaterThanOrEqual(before + ttl);
      expect(expiresAt).toBeLessThanOrEqual(after + ttl);
    }
  });

  it('protects nothing once it has expired, and goes when the next is made', async () => {
    await using expired = await leases.create();
    await expired.addBlob(digest);
    await expireAll();
    expect(await blobs()).toEqual([]);
    await using next = await leases.create();
    expect(await scratch.database.all('SELECT id FROM leases')).toEqual([{ id: next.id }]);
    expect(await scratch.database.all('SELECT * FROM lease_resources')).toEqual([]);
  });

  it.each<[string, (lease: Awaited<ReturnType<LeaseStore['create']>>) => Promise<void>]>([
    ['is renewed', (lease) => lease.renew()],
    ['is added to', (lease) => lease.addBlob(other)],
  ])('comes back with all it had when it %s after it was swept', async (_, act) => {
    await using lease = await leases.create();
    await lease.addBlob(digest, other);
    await expireAll();
    expect(await leases.sweep()).toBe(1);
    // A thing that was there before is added again only by way of the whole.
    await act(lease);
    await lease.addSnapshot('new');
    expect(await leases.resources()).toEqual({
      blobs: new Set([digest, other]),
      snapshots: new Set(['new']),
    });
  });

  it('renews itself while its process lives, and does not keep the process', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const lease = await leases.create({ ttlMs: 30_000 });
    await expireAll();
    vi.advanceTimersByTime(10_000);
    // Queued behind the renewal.
    const row = await scratch.database.get('SELECT expires_at FROM leases');
    expect(Number(row?.['expires_at'])).toBeGreaterThan(Date.now());
    await lease[Symbol.asyncDispose]();
    vi.advanceTimersByTime(60_000);
    expect(await scratch.database.all('SELECT * FROM leases')).toEqual([]);
  });

  /** Another process has the database locked until what is returned is called. */
  const lockOut = async (): Promise<() => Promise<void>> => {
    const other = await SqliteConnection.open(scratch.database.file, 'write');
    await other.run('BEGIN IMMEDIATE');
    return async () => {
      await other.run('ROLLBACK');
      await other.close();
    };
  };
  /** The same store's leases, by a connection that waits for no lock. */
  const impatientLeases = async (): Promise<AsyncDisposable & { readonly leases: LeaseStore }> => {
    const database = await MetadataDatabase.open(scratch.database.file, { busyTimeoutMs: 0 });
    return { leases: new LeaseStore(database), [Symbol.asyncDispose]: () => database.close() };
  };

  it.each<[string, (lease: Lease) => Promise<void>]>([
    ['a blob', (lease) => lease.addBlob(digest)],
    ['a snapshot', (lease) => lease.addSnapshot('layer-1')],
  ])('protects %s that could not be added, once it is added again', async (_, add) => {
    await using impatient = await impatientLeases();
    await using lease = await impatient.leases.create();
    const unlock = await lockOut();
    await expect(add(lease)).rejects.toMatchObject({ code: 'LOCKED' });
    // That it was not written is no secret of the first call.
    await expect(add(lease)).rejects.toMatchObject({ code: 'LOCKED' });
    await unlock();
    await add(lease);
    const { blobs: leased, snapshots } = await leases.resources();
    expect([...leased, ...snapshots]).toHaveLength(1);
  });

  it('tells both of two that add a thing at once that it could not be written', async () => {
    await using impatient = await impatientLeases();
    await using lease = await impatient.leases.create();
    const unlock = await lockOut();
    const outcomes = await Promise.allSettled([lease.addBlob(digest), lease.addBlob(other, digest)]);
    await unlock();
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await lease.addBlob(other, digest);
    expect(await blobs()).toEqual([digest, other].sort());
  });

  it('goes with the next sweep where it could not be removed when it ended', async () => {
    await using impatient = await impatientLeases();
    const lease = await impatient.leases.create();
    await lease.addBlob(digest);
    const unlock = await lockOut();
    await lease[Symbol.asyncDispose]();
    await unlock();
    await using next = await impatient.leases.create();
    expect(await scratch.database.all('SELECT id FROM leases')).toEqual([{ id: next.id }]);
    expect(await blobs()).toEqual([]);
  });

  it('leaves neither a row nor a timer where it could not be made', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    await using impatient = await impatientLeases();
    const unlock = await lockOut();
    await expect(impatient.leases.create()).rejects.toMatchObject({ code: 'LOCKED' });
    await unlock();
    expect(vi.getTimerCount()).toBe(0);
    expect(await scratch.database.all('SELECT * FROM leases')).toEqual([]);
    await using next = await impatient.leases.create();
    await next.addBlob(digest);
    expect(await blobs()).toEqual([digest]);
  });

  it('goes at once when its process is killed, and stays while it lives', async () => {
    const file = join(scratch.root, '..', 'content');
    await writeFile(file, 'a');
    const process = new StoreProcess(['lease', scratch.root, file]);
    expect(await process.said()).toBe('leased');
    expect(await leases.sweep()).toBe(0);
    expect(await blobs()).toEqual([digest]);
    await process.kill();
    expect(await leases.sweep()).toBe(1);
    expect(await blobs()).toEqual([]);
  });

  it('expires when its process is killed, where nobody can tell', async () => {
    const file = join(scratch.root, '..', 'content');
    await writeFile(file, 'a');
    const process = new StoreProcess(['lease', scratch.root, file]);
    expect(await process.said()).toBe('leased');
    expect(await blobs()).toEqual([digest]);
    await process.kill();
    await scratch.database.run(`UPDATE leases SET owner = 'another-boot ' || owner`);
    expect(await leases.sweep()).toBe(0);
    expect(await blobs()).toEqual([digest]);
    await vi.waitFor(async () => expect(await blobs()).toEqual([]), { timeout: 30_000, interval: 100 });
  });
});
