import { randomUUID } from 'node:crypto';

import { ContentError } from '../../errors.js';
import { integerOf, type MetadataDatabase, type Statements, textOf } from '../../metadata/index.js';
import { type Digest, parseDigest } from '../../spec/index.js';
import { isDead, processIdentity } from '../../system/index.js';

/**
 * Protects what an operation has touched and nothing names yet. It ends when it is disposed; when its process
 * dies it goes with the next sweep where that can be known, and expires by itself otherwise. Protect a thing
 * before looking whether it is there, so that no collection comes in between.
 */
export interface Lease extends AsyncDisposable {
  readonly id: string;
  addBlob(...digests: readonly Digest[]): Promise<void>;
  /** @param names keys or names of snapshots */
  addSnapshot(...names: readonly string[]): Promise<void>;
  /** Puts the expiry off by the lease's whole time to live. Done by itself while the process lives. */
  renew(): Promise<void>;
}

/** What all leases that have not expired protect. */
export interface LeasedResources {
  readonly blobs: ReadonlySet<Digest>;
  readonly snapshots: ReadonlySet<string>;
}

const RESOURCE_KINDS = ['blob', 'snapshot'] as const;
type ResourceKind = (typeof RESOURCE_KINDS)[number];

const DEFAULT_TTL_MS = 60 * 60 * 1000;
/** A power cut ends the process that a lease is for. */
const VOLATILE = { durable: false } as const;
/** Renewals per time to live: two may fail before the lease expires. */
const RENEWALS = 3;

/**
 * The leases of a store. One that has expired protects nothing, and goes when the next is made; one whose
 * process is known to have died goes then too, without waiting for its expiry.
 */
export class LeaseStore {
  readonly #database: MetadataDatabase;
  /**
   * Leases of this process that have ended and whose rows may still be there: they go with the next sweep.
   */
  readonly #ended = new Set<string>();

  constructor(database: MetadataDatabase) {
    this.#database = database;
  }

  /** @param o `ttlMs`: how long it outlives its process; default one hour */
  async create(o: { readonly ttlMs?: number } = {}): Promise<Lease> {
    await this.sweep();
    return await DatabaseLease.begin(this.#database, o.ttlMs ?? DEFAULT_TTL_MS, this.#ended);
  }

  /**
   * Protects blobs for some time, whatever becomes of this process: for what was brought here by somebody who
   * will come back and name it. What one `id` protects expires together, so long after the last call for it.
   */
  async hold(id: string, digests: readonly Digest[], o: { readonly ttlMs: number }): Promise<void> {
    await this.#database.transaction(async (transaction) => {
      await transaction.run(
        `INSERT INTO leases (id, created_at, expires_at, owner) VALUES (?1, ?2, ?3, '')
         ON CONFLICT (id) DO UPDATE SET expires_at = ?3`,
        [id, Date.now(), Date.now() + o.ttlMs],
      );
      await insertResources(transaction, { id, kind: 'blob', keys: digests });
    });
  }

  /** Ends what {@link hold} has protected of some blobs, where its `id` begins so. */
  async release(prefix: string, digests: readonly Digest[]): Promise<void> {
    await this.#database.run(
      `DELETE FROM lease_resources WHERE kind = 'blob' AND key IN (SELECT value FROM json_each(?1))
       AND substr(lease_id, 1, length(?2)) = ?2`,
      [JSON.stringify(digests), prefix],
    );
  }

  /** @param statements the transaction to ask in, where what is found has to stay true */
  async resources(statements: Statements = this.#database): Promise<LeasedResources> {
    const rows = await statements.all(
      `SELECT DISTINCT kind, key FROM lease_resources
       JOIN leases ON leases.id = lease_resources.lease_id WHERE leases.expires_at > ?`,
      [Date.now()],
    );
    const keys = (kind: ResourceKind): string[] =>
      rows.filter((row) => row['kind'] === kind).map((row) => textOf(row, 'key'));
    return {
      blobs: new Set(keys('blob').map((key) => parseDigest(key))),
      snapshots: new Set(keys('snapshot')),
    };
  }

  /** Removes leases that have ended or expired or whose process has died, and says how many. */
  async sweep(): Promise<number> {
    const now = Date.now();
    const ended = new Set(this.#ended);
    // A look first: it waits for no other writer, and mostly finds nothing to do.
    const rows = await this.#database.all('SELECT id, expires_at, owner FROM leases');
    const over = rows
      .filter((row) => {
        const id = textOf(row, 'id');
        return integerOf(row, 'expires_at') <= now || ended.has(id) || isDead(textOf(row, 'owner'));
      })
      .map((row) => textOf(row, 'id'));
    const remove = 'DELETE FROM leases WHERE id IN (SELECT value FROM json_each(?))';
    const removed =
      over.length === 0 ? 0 : (await this.#database.run(remove, [JSON.stringify(over)])).changes;
    for (const id of ended) this.#ended.delete(id);
    return removed;
  }
}

class DatabaseLease implements Lease {
  readonly id: string = randomUUID();
  readonly #database: MetadataDatabase;
  readonly #ttlMs: number;
  readonly #createdAt = Date.now();
  /** The protected keys, each with the write of its row, which may be under way. */
  readonly #resources: Readonly<Record<ResourceKind, Map<string, Promise<void>>>> = {
    blob: new Map(),
    snapshot: new Map(),
  };
  readonly #allEnded: Set<string>;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  private constructor(database: MetadataDatabase, ttlMs: number, allEnded: Set<string>) {
    this.#database = database;
    this.#ttlMs = ttlMs;
    this.#allEnded = allEnded;
  }

  /** @param allEnded takes the lease's id while its row may be left behind */
  static async begin(
    database: MetadataDatabase,
    ttlMs: number,
    allEnded: Set<string>,
  ): Promise<DatabaseLease> {
    const lease = new DatabaseLease(database, ttlMs, allEnded);
    await lease.renew();
    // Not before: a lease that could not be made would renew itself into one that nobody ends.
    // A renewal that fails is made up for by the next.
    lease.#timer = setInterval(() => void lease.renew().catch(() => undefined), ttlMs / RENEWALS);
    lease.#timer.unref();
    return lease;
  }

  addBlob(...digests: readonly Digest[]): Promise<void> {
    return this.#add('blob', digests);
  }

  addSnapshot(...names: readonly string[]): Promise<void> {
    return this.#add('snapshot', names);
  }

  /** A lease that was swept, since the machine slept for longer than it lasts, comes back with all it had. */
  async renew(): Promise<void> {
    if (this.#ended) return;
    const expiresAt = Date.now() + this.#ttlMs;
    await this.#database.transaction(async (transaction) => {
      const update = 'UPDATE leases SET expires_at = ? WHERE id = ?';
      if ((await transaction.run(update, [expiresAt, this.id])).changes > 0) return;
      await transaction.run('INSERT INTO leases (id, created_at, expires_at, owner) VALUES (?, ?, ?, ?)', [
        this.id,
        this.#createdAt,
        expiresAt,
        processIdentity(),
      ]);
      for (const kind of RESOURCE_KINDS) {
        await insertResources(transaction, { id: this.id, kind, keys: [...this.#resources[kind].keys()] });
      }
    }, VOLATILE);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    clearInterval(this.#timer);
    this.#allEnded.add(this.id);
    try {
      const remove = 'DELETE FROM leases WHERE id = ?';
      await this.#database.transaction((transaction) => transaction.run(remove, [this.id]), VOLATILE);
      this.#allEnded.delete(this.id);
    } catch (error) {
      // On a full disk, say. The next sweep removes it, and the error of what it was for matters more.
      if (!(error instanceof ContentError)) throw error;
    }
  }

  /** Resolves when all of the keys are written, also those that another call is writing. */
  async #add(kind: ResourceKind, keys: readonly string[]): Promise<void> {
    const known = this.#resources[kind];
    const fresh = keys.filter((key) => !known.has(key));
    if (fresh.length > 0) {
      const writing = this.#write(kind, fresh).catch((error: unknown) => {
        for (const key of fresh) known.delete(key);
        throw error;
      });
      for (const key of fresh) known.set(key, writing);
    }
    await Promise.all(keys.flatMap((key) => known.get(key) ?? []));
  }

  async #write(kind: ResourceKind, keys: readonly string[]): Promise<void> {
    const present = await this.#database.transaction(async (transaction) => {
      if ((await transaction.get('SELECT 1 FROM leases WHERE id = ?', [this.id])) === undefined) return false;
      await insertResources(transaction, { id: this.id, kind, keys });
      return true;
    }, VOLATILE);
    // Swept meanwhile: it comes back with all it has, these included.
    if (!present) await this.renew();
  }
}

async function insertResources(
  transaction: Statements,
  { id, kind, keys }: { readonly id: string; readonly kind: ResourceKind; readonly keys: readonly string[] },
): Promise<void> {
  if (keys.length === 0) return;
  await transaction.run(
    'INSERT OR IGNORE INTO lease_resources (lease_id, kind, key) SELECT ?, ?, value FROM json_each(?)',
    [id, kind, JSON.stringify(keys)],
  );
}
