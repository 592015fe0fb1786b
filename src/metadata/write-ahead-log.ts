import { open } from 'node:fs/promises';

import { systemCode } from '../errors.js';
import { type SqliteConnection, untilUnlocked } from './sqlite-connection.js';

/**
 * When a database's log is synced. `transaction`: whatever was committed survives a power cut. `checkpoint`: the last
 * transactions may be lost by one, as if they had never been; what is left is whole.
 */
export type Synced = 'transaction' | 'checkpoint';

/*
 * FULL syncs the log with every transaction, so that one that was reported done survives a power cut. NORMAL, WAL's default,
 * syncs it when it is brought into the database, which is what keeps that whole; OFF would not even do that.
 */
const SYNCHRONOUS: Readonly<Record<Synced, string>> = { transaction: 'FULL', checkpoint: 'NORMAL' };

/*
 * The cache, in KiB, holds the inner pages of a store with 100,000 blobs. A collection may make the log long; it is cut when
 * it is written anew.
 */
const SETTINGS = `
PRAGMA foreign_keys = ON;
PRAGMA cache_size = -8192;
PRAGMA journal_size_limit = 16777216;
`;

/**
 * Makes a connection what all connections of a store are that write. It begins with `transaction`, whatever comes later: a
 * database that is just being made, or brought up to date, is to be whole after a power cut too.
 */
export async function configure(connection: SqliteConnection, busyTimeoutMs: number): Promise<void> {
  await untilUnlocked(busyTimeoutMs, () => connection.get('PRAGMA journal_mode = WAL'));
  await connection.exec(synchronousPragma('transaction') + SETTINGS);
}

/** Not within a transaction, where SQLite ignores it. */
export function synchronousPragma(synced: Synced): string {
  return `PRAGMA synchronous = ${SYNCHRONOUS[synced]};`;
}

/** Makes durable what was committed of a database whose log is synced at checkpoints. */
export async function syncLog(file: string): Promise<void> {
  let log;
  try {
    log = await open(`${file}-wal`);
  } catch (error) {
    // It was brought into the database, and that synced.
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  try {
    await log.sync();
  } finally {
    await log.close();
  }
}
