import type { ServerWritableStream } from '@grpc/grpc-js';
import { EventEmitter, getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { streaming } from '../../../src/daemon/grpc/calls.js';
import { deferred } from '../../../src/concurrency/index.js';

/** A client that takes no more than one message before it has read it. */
class SlowClient extends EventEmitter {
  readonly messages: number[] = [];
  readonly ended = deferred<undefined>();
  readonly request = {};

  write(message: number): boolean {
    this.messages.push(message);
    return false;
  }

  end(): void {
    this.ended.resolve(undefined);
  }

  get listening(): number {
    return this.eventNames().reduce((sum, name) => sum + this.listenerCount(name), 0);
  }
}

describe('a stream of messages', () => {
  it.each(['reads on to the end', 'hangs up'])(
    'leaves no listener for each time that it was held back, where the client %s',
    async (what) => {
      const client = new SlowClient();
      let signal: AbortSignal | undefined;
      let left = false;
      const serve = streaming<object, number>(
        'Count',
        async function* (_request, call) {
          signal = call.signal;
          try {
            for (let n = 0; n < 20; n += 1) yield await Promise.resolve(n);
          } finally {
            left = true;
          }
        },
        { onError: () => undefined },
      );
      serve(client as unknown as ServerWritableStream<object, number>);
      const all = (): number =>
        client.listening + (signal === undefined ? 0 : getEventListeners(signal, 'abort').length);
      const counts: number[] = [];
      const reads = what === 'hangs up' ? 10 : 20;
      for (let read = 1; read <= reads; read += 1) {
        await expect.poll(() => client.messages.length, { interval: 1 }).toBe(read);
        await expect.poll(() => client.listenerCount('drain'), { interval: 1 }).toBe(1);
        counts.push(all());
        if (read < reads || what !== 'hangs up') client.emit('drain');
      }
      expect(new Set(counts).size, counts.join(', ')).toBe(1);
      if (what === 'hangs up') client.emit('cancelled');
      else await client.ended.promise;
      await expect.poll(() => left).toBe(true);
      expect(client.messages).toHaveLength(reads);
      expect(client.listenerCount('drain')).toBe(0);
    },
  );
});
