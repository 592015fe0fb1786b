import { describe, expect, it } from 'vitest';
import { MessageQueue } from '../../../src/daemon/transfers/transfers-service.js';

async function all<T>(queue: MessageQueue<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const message of queue) found.push(message);
  return found;
}

describe('messages that wait to be sent', () => {
  it('come in their order, also those that wait when it ends', async () => {
    const queue = new MessageQueue<number>(10);
    queue.push(1);
    const taken = all(queue);
    queue.push(2);
    await Promise.resolve();
    queue.push(3);
    queue.end();
    expect(await taken).toEqual([1, 2, 3]);
  });

  it('that are too many give way to newer ones', async () => {
    const queue = new MessageQueue<number>(3);
    for (let n = 0; n < 10; n += 1) queue.push(n);
    expect(queue.waiting).toBe(3);
    queue.end();
    expect(await all(queue)).toEqual([7, 8, 9]);
  });

  it('are no more after the end', async () => {
    const queue = new MessageQueue<number>(3);
    queue.end();
    queue.push(1);
    expect(await all(queue)).toEqual([]);
  });

  it('are waited for', async () => {
    const queue = new MessageQueue<number>(3);
    const taken = all(queue);
    for (let n = 0; n < 3; n += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      queue.push(n);
    }
    queue.end();
    expect(await taken).toEqual([0, 1, 2]);
  });
});
