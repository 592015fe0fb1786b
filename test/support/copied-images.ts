import { copy } from '../../src/transfer/copy/copy.js';
import type { CopyReport } from '../../src/transfer/copy/copy-report.js';
import type { CopyRequest } from '../../src/transfer/copy/copy-request.js';
import { CopySession, type CopySessionOptions } from '../../src/transfer/copy/copy-session.js';
import { MemoryTransport, type MemoryRepository } from './memory-transport.js';

/** A repository to copy from, at a registry of its own. */
export const there = (): MemoryRepository =>
  new MemoryTransport('there.example').repository('there.example/app');
/** One to copy to. */
export const here = (): MemoryRepository =>
  new MemoryTransport('here.example').repository('here.example/app');

/** Copies tag 1 to tag 1, with all platforms, unless a request says otherwise. */
export async function copied(
  source: MemoryRepository,
  destination: MemoryRepository,
  request: Partial<CopyRequest> = {},
  session: CopySession | CopySessionOptions = {},
): Promise<CopyReport> {
  return await copy(
    source,
    destination,
    { from: '1', tag: '1', platforms: 'all', ...request },
    session instanceof CopySession ? session : new CopySession(session),
  );
}
