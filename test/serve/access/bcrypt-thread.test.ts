import { EventEmitter } from 'node:events';
import { beforeEach, expect, it, vi } from 'vitest';
import { BcryptThread } from '../../../src/serve/access/htpasswd.js';

const workers = vi.hoisted((): EventEmitter[] => []);

vi.mock('node:worker_threads', () => ({
  Worker: class extends EventEmitter {
    constructor() {
      super();
      workers.push(this);
    }
    unref(): void {
      // Nothing is kept alive.
    }
    postMessage({ id }: { readonly id: number }): void {
      if (workers.length > 1) setImmediate(() => this.emit('message', { id, right: true }));
    }
  },
}));

beforeEach(() => void workers.splice(0));

it('fails what one thread was asked, and nothing that the next one is asked before the first has ended', async () => {
  const thread = new BcryptThread();
  const failed = thread.compare('calm', '$2y$…');
  workers[0]?.emit('error', new Error('out of memory'));
  await expect(failed).rejects.toThrow('out of memory');
  const next = thread.compare('calm', '$2y$…');
  workers[0]?.emit('exit', 1);
  expect(await next).toBe(true);
  expect(await thread.compare('calm', '$2y$…')).toBe(true);
  expect(workers).toHaveLength(2);
});
