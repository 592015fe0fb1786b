import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';

import { RegistryFault } from '../registry-fault.js';

/** All that the thread runs. One comparison takes some 100 ms of a processor, in which requests go on being answered. */
const CODE = `
const { parentPort, workerData } = require('node:worker_threads');
const bcrypt = require(workerData);
parentPort.on('message', ({ id, password, hash }) => {
  let right = false;
  try {
    right = bcrypt.compareSync(password, hash);
  } catch {}
  parentPort.postMessage({ id, right });
});
`;

/** Who tries passwords waits, and beyond so many is told to come again. */
const MOST_WAITING = 64;

interface Outcome {
  readonly id: number;
  readonly right: boolean;
}

/** Compares passwords with bcrypt hashes beside the event loop, one at a time. The thread starts with the first. */
export class BcryptThread {
  #worker: Worker | undefined;
  readonly #waiting = new Map<
    number,
    { resolve: (right: boolean) => void; reject: (error: unknown) => void }
  >();
  #last = 0;

  /** @throws {RegistryFault} 429 TOOMANYREQUESTS where too many wait already */
  async compare(password: string, hash: string): Promise<boolean> {
    if (this.#waiting.size >= MOST_WAITING) {
      throw new RegistryFault(429, 'TOOMANYREQUESTS', 'too many passwords are being checked', {
        'Retry-After': '1',
      });
    }
    this.#last += 1;
    const id = this.#last;
    return await new Promise<boolean>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#started().postMessage({ id, password, hash });
    });
  }

  #started(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const bcrypt = createRequire(import.meta.url).resolve('bcryptjs');
    const worker = new Worker(CODE, { eval: true, workerData: bcrypt });
    // It keeps nothing alive by itself.
    worker.unref();
    worker.on('message', ({ id, right }: Outcome) => {
      this.#waiting.get(id)?.resolve(right);
      this.#waiting.delete(id);
    });
    worker.on('error', (error) => this.#fail(worker, error));
    worker.on('exit', () => this.#fail(worker, new Error('the thread that checks passwords has ended')));
    this.#worker = worker;
    return worker;
  }

  /** The next comparison starts another thread. One that failed ends as well, when another may have its place already. */
  #fail(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
