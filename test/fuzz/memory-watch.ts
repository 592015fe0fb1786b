import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { Violation } from './violation.js';

/** What one input may cost at most, in bytes, far above the buffers that reading it needs. */
const MOST_GROWTH = 256 * 1024 * 1024;

/**
 * Watches the memory of this process: its high-water mark since {@link start} (proc(5): VmHWM, clear_refs).
 */
export class MemoryWatch implements Disposable {
  readonly #status: number = openSync('/proc/self/status', 'r');
  readonly #buffer = Buffer.alloc(4096);
  #before = 0;

  start(): void {
    writeFileSync('/proc/self/clear_refs', '5');
    this.#before = this.#highWater();
  }

  /** @throws {Violation} memory */
  check(): void {
    const growth = this.#highWater() - this.#before;
    if (growth > MOST_GROWTH) {
      throw new Violation('memory', `the process grew by ${(growth / 2 ** 20).toFixed(0)} MiB for one input`);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#status);
  }

  #highWater(): number {
    const length = readSync(this.#status, this.#buffer, 0, this.#buffer.length, 0);
    const kib = /^VmHWM:\s*(\d+) kB$/m.exec(this.#buffer.toString('latin1', 0, length))?.[1];
    if (kib === undefined) throw new Error(`no VmHWM in ${readFileSync('/proc/self/status', 'utf8')}`);
    return Number(kib) * 1024;
  }
}
