import { randomUUID } from 'node:crypto';
import type { Abortable } from '../../errors.js';
import type { ContainerdConnection } from './connection.js';
import { EXPIRE } from './labels.js';

/** When a lease ends whose holder died, in milliseconds. */
const LEASE_MS = 60 * 60_000;

/** Does something under a lease, which keeps what it makes until it is referred to. Errors: those of a call, and its own. */
export async function underLease(
  connection: ContainerdConnection,
  body: (lease: string) => Promise<void>,
  o: Abortable = {},
): Promise<void> {
  const id = `landfall-${randomUUID()}`;
  const labels = { [EXPIRE]: new Date(Date.now() + LEASE_MS).toISOString() };
  await connection.call('leases/Create', { id, labels }, o);
  try {
    await body(id);
  } finally {
    // One that stays ends by itself.
    await connection.call('leases/Delete', { id }).catch(() => undefined);
  }
}
