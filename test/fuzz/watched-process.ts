import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Finding, readFinding } from './finding.js';
import { inputOf } from './fuzz-loop.js';
import type { FuzzOrder } from './fuzz-process.js';
import type { FuzzTarget } from './fuzz-target.js';
import { ProgressRecord, type TargetCount } from './progress-record.js';
import type { ViolationKind } from './violation.js';

export interface WatchedProcessOptions {
  readonly order: FuzzOrder;
  readonly isolated: boolean;
  readonly hangSeconds: number;
  readonly targets: readonly FuzzTarget[];
  readonly seeds: readonly Buffer[];
  readonly onFinding: (finding: Finding) => void;
  /** Ends the process, and what it is doing is no finding. */
  readonly signal?: AbortSignal;
  /** What the process runs, for tests. */
  readonly script?: string;
}

const SCRIPT = join(import.meta.dirname, 'fuzz-process.js');
/** MiB of JavaScript objects: as much as a thread of a worker pool has. */
const HEAP_MIB = 1024;
/** How often it is looked whether the process is still getting on. */
const LOOK_MS = 500;

/**
 * In a mount namespace of its own: a tmpfs over the working directory and all else read-only, so that a layer
 * that finds a way out meets an error, which is a finding too. The mounts go with the process.
 */
const ISOLATE =
  'mount -t tmpfs -o mode=0755,size=2g tmpfs "$1" && mount -o remount,bind,ro / && shift && exec "$@"';

/** A fuzzing process, and the next one where one hangs or dies, until the order is done. */
export class WatchedProcess {
  readonly #options: WatchedProcessOptions;
  readonly #record: ProgressRecord;
  readonly #fd: number;

  constructor(o: WatchedProcessOptions) {
    this.#options = o;
    const path = `${o.order.directory}.record`;
    this.#fd = openSync(path, 'w+');
    rmSync(path);
    this.#record = new ProgressRecord(this.#fd, o.targets.length);
  }

  /** What has been done so far. */
  get counts(): readonly TargetCount[] {
    return this.#record.counts;
  }

  async run(): Promise<void> {
    try {
      const { order } = this.#options;
      for (let first = order.first; ; first = this.#record.index + order.step) {
        const ended = await this.#runOne({ ...order, first });
        this.#record.read();
        if (ended === undefined) return;
        this.#emit(ended.kind, ended.message);
        if (order.replay !== undefined) return;
      }
    } finally {
      closeSync(this.#fd);
    }
  }

  /** How the process ended before its time, or undefined where it did all that it was to do. */
  async #runOne(order: FuzzOrder): Promise<{ kind: ViolationKind; message: string } | undefined> {
    const child = this.#start(order);
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString('latin1')).slice(-4000)));
    child.on('message', (finding: Finding) => this.#options.onFinding(revived(finding)));
    const { signal: stop, hangSeconds } = this.#options;
    const kill = (): boolean => child.kill('SIGKILL');
    stop?.addEventListener('abort', kill, { once: true });
    const watch = this.#watch(kill);
    const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    stop?.removeEventListener('abort', kill);
    watch.close();
    if (code === 0 || stop?.aborted === true) return undefined;
    if (watch.isStuck) return { kind: 'hang', message: `not done within ${hangSeconds} s` };
    return { kind: 'died', message: `the process ended with ${code ?? signal}:\n${said}` };
  }

  #start(order: FuzzOrder): ChildProcess {
    const { script = SCRIPT } = this.#options;
    const node = [process.execPath, `--max-old-space-size=${HEAP_MIB}`, script, JSON.stringify(order)];
    const isolate = ['unshare', '-m', '--propagation', 'private', 'sh', '-c', ISOLATE, 'sh', order.directory];
    const [program = '', ...args] = this.#options.isolated ? [...isolate, ...node] : node;
    return spawn(program, args, {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc', this.#fd],
      serialization: 'advanced',
    });
  }

  /** Calls back when the process is at one input for too long. */
  #watch(onStuck: () => void): { readonly isStuck: boolean; close(): void } {
    const { hangSeconds } = this.#options;
    const record = new ProgressRecord(this.#fd, this.#options.targets.length);
    let last = record.index;
    let since = performance.now();
    let isStuck = false;
    const timer = setInterval(() => {
      record.read();
      if (record.index !== last) {
        last = record.index;
        since = performance.now();
      } else if (performance.now() - since > hangSeconds * 1000) {
        isStuck = true;
        onStuck();
      }
    }, LOOK_MS);
    return {
      get isStuck() {
        return isStuck;
      },
      close: () => clearInterval(timer),
    };
  }

  #emit(kind: ViolationKind, message: string): void {
    const { order, targets, seeds, onFinding } = this.#options;
    if (order.replay !== undefined) {
      onFinding({ ...readFinding(order.replay), kind, message });
      return;
    }
    const number = { seed: order.seed, index: this.#record.index };
    const { target, input } = inputOf(number, targets, seeds);
    onFinding({ target: target.name, kind, message, number, input });
  }
}

/** What came over the channel, with Buffers again where it has arrays of bytes now. */
function revived(finding: Finding): Finding {
  const { layers, expected } = finding.input;
  const input = {
    layers: layers.map((layer) => Buffer.from(layer)),
    ...(expected === undefined
      ? {}
      : { expected: expected === 'refused' ? expected : Buffer.from(expected) }),
  };
  return { ...finding, input };
}
