import { getEventListeners } from 'node:events';
import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type Deferred, deferred } from '../../src/concurrency/index.js';
import { abortedError, isLandfallError } from '../../src/errors.js';

/** One use of a shared object. */
export interface Operation {
  /** Operations of one key want the same thing. */
  readonly key: string;
  readonly signal: AbortSignal;
  /**
   * The work of the operation, which the adapter or the object calls when its turn has come. The suite lets
   * it succeed, fail with {@link WorkFailed}, or go on; it ends with ABORTED when the signal given here is
   * aborted.
   */
  readonly work: (signal?: AbortSignal) => Promise<string>;
}

/** An object that operations share, and how it is used. */
export interface SharedObject {
  /** Resolves when the operation has ended well. */
  readonly begin: (operation: Operation) => Promise<unknown>;
  /** What is counted in the object, by name: all of it is 0 when no operation is under way. */
  readonly left?: () => Readonly<Record<string, number>> | Promise<Readonly<Record<string, number>>>;
  /** How many operations wait in it for their turn: never more than have not ended and have no work yet. */
  readonly waiting?: () => number;
  readonly close?: () => Promise<void>;
}

export interface SharedObjectOptions {
  /** Of {@link PROBES} operations with different keys, this many begin their work at once in a new object. */
  readonly atOnce: number;
  /** Things that are wanted. Default 3. */
  readonly keys?: number;
  /** Random sequences. Default 150. */
  readonly runs?: number;
  /** Whether what it does takes more than turns of the event loop: it reads files, or asks a server. */
  readonly io?: boolean;
  /** Other failures of an operation that are right, besides its own abort and that of its work. */
  readonly isExpected?: (error: unknown) => boolean;
}

/** What the work of an operation fails with. */
export class WorkFailed extends Error {}

type Step =
  | { readonly do: 'begin'; readonly key: number; readonly stubborn: boolean }
  | { readonly do: 'abort' | 'succeed' | 'fail'; readonly which: number }
  | { readonly do: 'turn' };

interface Begun {
  readonly key: string;
  readonly abort: AbortController;
  readonly ended: Promise<void>;
  /** Whether its work has begun. */
  worked: boolean;
  outcome: 'done' | 'failed' | undefined;
  error: unknown;
}

const which = fc.nat(20);
const BEGIN = fc.record({ do: fc.constant('begin' as const), key: fc.nat(5), stubborn: fc.boolean() });
const END = fc.record({ do: fc.constantFrom('abort' as const, 'succeed' as const, 'fail' as const), which });
const TURN = fc.record({ do: fc.constant('turn' as const) });
const STEPS: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof({ weight: 5, arbitrary: BEGIN }, { weight: 3, arbitrary: END }, { weight: 2, arbitrary: TURN }),
  { minLength: 2, maxLength: 30 },
);

/** So many operations show whether a used object takes as much at once as a new one. */
export const PROBES = 8;
/** What has not ended by then hangs. */
const HANGS_MS = 20_000;
const SEED = 20_261_202;
/** The suite's own, which counts as no leftover. */
const later = setTimeout;

/**
 * What holds for every object that operations share, after any sequence of beginnings, aborts and failures:
 * an operation ends with its own abort or its own work's failure only; one that waits ends when it is
 * aborted; and when all have ended, the object counts nothing, no signal has a listener, no timer is set, no
 * descriptor is open, no promise was left without a handler, and the object takes as many operations as a new
 * one.
 */
export function sharedObjectSuite(
  name: string,
  make: () => SharedObject | Promise<SharedObject>,
  { atOnce, keys = 3, runs = 150, io = false, isExpected = () => false }: SharedObjectOptions,
): void {
  describe(`shared object: ${name}`, () => {
    let left: Leftovers;
    beforeAll(async () => {
      left = new Leftovers();
      // What is loaded or opened once in a process is no leftover.
      expect(await probe(await make())).toBe(atOnce);
    });
    afterAll(() => left[Symbol.dispose]());

    it('is as good as new after any aborts and failures', { timeout: 180_000 }, async () => {
      const property = fc.asyncProperty(STEPS, async (steps) => {
        left.begin();
        const object = await make();
        const use = new Use(object, { keys, io, isExpected });
        for (const step of steps) await use.take(step);
        await use.end();
        const counts = await countsOf(object);
        expect(counts).toEqual(Object.fromEntries(Object.keys(counts).map((key) => [key, 0])));
        expect(await probe(object), 'operations at once').toBe(atOnce);
        expect(left.all()).toEqual({ listeners: 0, timers: 0, unhandled: 0, descriptors: 0 });
      });
      await fc.assert(property, { seed: SEED, numRuns: runs, endOnFailure: true });
    });

    /** What is left in an object and on signals, once what ends soon after its operations has ended. */
    async function countsOf(object: SharedObject): Promise<Readonly<Record<string, number>>> {
      for (const until = Date.now() + (io ? HANGS_MS : 0); ; await new Promise((next) => later(next, 5))) {
        const counts = {
          ...(await object.left?.()),
          waiting: object.waiting?.() ?? 0,
          ...left.ofSignals(),
        };
        if (Date.now() >= until || Object.values(counts).every((count) => count === 0)) return counts;
      }
    }

    /** How many works begin of operations that all want something else; ends the object. */
    async function probe(object: SharedObject): Promise<number> {
      const use = new Use(object, { keys, io, isExpected });
      for (let key = 0; key < PROBES; key += 1) use.begin(`probe-${key}`, false);
      await use.settle(() => use.works.size === atOnce, HANGS_MS);
      await use.settle();
      const begun = use.works.size;
      await use.succeedAll();
      await object.close?.();
      return begun;
    }
  });
}

/** What a sequence has begun with an object. */
class Use {
  readonly works = new Set<Deferred<string>>();
  readonly #object: SharedObject;
  readonly #options: Required<Pick<SharedObjectOptions, 'keys' | 'io' | 'isExpected'>>;
  readonly #begun: Begun[] = [];

  constructor(
    object: SharedObject,
    options: Required<Pick<SharedObjectOptions, 'keys' | 'io' | 'isExpected'>>,
  ) {
    this.#object = object;
    this.#options = options;
  }

  async take(step: Step): Promise<void> {
    if (step.do === 'begin') this.begin(`key-${step.key % this.#options.keys}`, step.stubborn);
    else if (step.do === 'turn') await this.settle();
    else if (step.do === 'abort') await this.#abort(step.which);
    else {
      const work = [...this.works][step.which % Math.max(1, this.works.size)];
      if (work !== undefined) this.#finish(work, step.do === 'succeed');
    }
  }

  begin(key: string, stubborn: boolean): void {
    const abort = new AbortController();
    const work = async (signal?: AbortSignal): Promise<string> => {
      begun.worked = true;
      const one = deferred<string>();
      this.works.add(one);
      const stop = (): void => one.reject(abortedError(signal));
      if (!stubborn) {
        if (signal?.aborted === true) stop();
        signal?.addEventListener('abort', stop, { once: true });
      }
      try {
        return await one.promise;
      } finally {
        this.works.delete(one);
        signal?.removeEventListener('abort', stop);
      }
    };
    const operation = { key, signal: abort.signal, work };
    const begun: Begun = {
      key,
      abort,
      worked: false,
      outcome: undefined,
      error: undefined,
      ended: Promise.resolve()
        .then(() => this.#object.begin(operation))
        .then(
          () => {
            begun.outcome = 'done';
          },
          (error: unknown) => {
            begun.outcome = 'failed';
            begun.error = error;
          },
        ),
    };
    this.#begun.push(begun);
  }

  #finish(work: Deferred<string>, well: boolean): void {
    this.works.delete(work);
    if (well) work.resolve('done');
    else work.reject(new WorkFailed());
  }

  async #abort(at: number): Promise<void> {
    const running = this.#begun.filter(
      ({ outcome, abort }) => outcome === undefined && !abort.signal.aborted,
    );
    const begun = running[at % Math.max(1, running.length)];
    if (begun === undefined) return;
    begun.abort.abort();
    // What it waits for goes on; where its own work has begun, that decides when it ends.
    const isDecided = (): boolean => begun.worked || begun.outcome !== undefined;
    await this.settle(isDecided, this.#options.io ? HANGS_MS : 0);
    if (!begun.worked) expect(begun.outcome, `${begun.key} waits on after its abort`).toBeDefined();
    const mayWait = this.#begun.filter(({ outcome, worked }) => outcome === undefined && !worked).length;
    expect(this.#object.waiting?.() ?? 0, 'operations that wait').toBeLessThanOrEqual(mayWait);
  }

  /** Lets the works that are left end one way or another, until nothing waits. */
  async end(): Promise<void> {
    for (const [at, { abort }] of this.#begun.entries()) if (at % 3 === 0) abort.abort();
    for (let at = 0; !(await this.#isOver()); at += 1)
      for (const work of this.works) this.#finish(work, at % 2 === 0);
    for (const { abort, error, outcome, key } of this.#begun) {
      if (outcome !== 'failed' || error instanceof WorkFailed || this.#options.isExpected(error)) continue;
      const isAborted = isLandfallError(error) && error.code === 'ABORTED';
      if (!isAborted) throw error;
      expect(abort.signal.aborted, `${key} ended by the abort of another operation`).toBe(true);
    }
  }

  async succeedAll(): Promise<void> {
    while (!(await this.#isOver())) for (const work of this.works) this.#finish(work, true);
    for (const { error } of this.#begun) expect(error).toBeUndefined();
  }

  /** False once there is work to go on with. @throws where operations wait, and no work is under way */
  async #isOver(): Promise<boolean> {
    const isOver = (): boolean => this.#begun.every(({ outcome }) => outcome !== undefined);
    if (!(await this.settle(() => isOver() || this.works.size > 0, HANGS_MS))) {
      const waiting = this.#begun.filter(({ outcome }) => outcome === undefined);
      throw new Error(`${waiting.length} operations hang: ${waiting.map(({ key }) => key).join(', ')}`);
    }
    return isOver();
  }

  /** After all that can go on by itself has done so, or once a condition holds. @returns whether it held */
  async settle(
    isEnough: () => boolean = () => false,
    atMostMs: number = this.#options.io ? 5 : 0,
  ): Promise<boolean> {
    const until = Date.now() + atMostMs;
    for (let turn = 0; turn < 8 || Date.now() < until; turn += 1) {
      if (isEnough()) return true;
      await new Promise((resolve) => (turn < 8 ? setImmediate(resolve) : later(resolve, 1)));
    }
    return isEnough();
  }
}

/** What is left of operations in this process, beside what an object counts itself. */
class Leftovers implements Disposable {
  readonly #signals = new Set<AbortSignal>();
  readonly #timers = new Set<unknown>();
  readonly #undo: (() => void)[] = [];
  #unhandled = 0;
  #descriptors = 0;

  constructor() {
    this.#watchSignals();
    this.#watchTimers();
    const count = (): void => void (this.#unhandled += 1);
    process.on('unhandledRejection', count);
    this.#undo.push(() => process.off('unhandledRejection', count));
  }

  begin(): void {
    this.#signals.clear();
    this.#timers.clear();
    this.#unhandled = 0;
    this.#descriptors = openDescriptors();
  }

  ofSignals(): { listeners: number; unhandled: number } {
    const listeners = [...this.#signals].reduce(
      (sum, signal) => sum + getEventListeners(signal, 'abort').length,
      0,
    );
    return { listeners, unhandled: this.#unhandled };
  }

  all(): { listeners: number; timers: number; unhandled: number; descriptors: number } {
    return {
      ...this.ofSignals(),
      timers: this.#timers.size,
      descriptors: Math.max(0, openDescriptors() - this.#descriptors),
    };
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo) undo();
  }

  /** All that are listened to, those that are made of others too. */
  #watchSignals(): void {
    const signals = this.#signals;
    AbortSignal.prototype.addEventListener = function (
      this: AbortSignal,
      ...parameters: Parameters<AbortSignal['addEventListener']>
    ): void {
      signals.add(this);
      EventTarget.prototype.addEventListener.apply(this, parameters);
    };
    this.#undo.push(() => Reflect.deleteProperty(AbortSignal.prototype, 'addEventListener'));
  }

  /** Those that are set by name; the suite's own, and those of the test runner, are not. */
  #watchTimers(): void {
    const timers = this.#timers;
    const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;
    const watched = Object.assign(
      (
        callback: (...parameters: unknown[]) => void,
        ms?: number,
        ...parameters: unknown[]
      ): NodeJS.Timeout => {
        const timer = setTimeout(() => {
          timers.delete(timer);
          callback(...parameters);
        }, ms);
        timers.add(timer);
        return timer;
      },
      { __promisify__: setTimeout.__promisify__ },
    );
    globalThis.setTimeout = watched as typeof setTimeout;
    globalThis.setInterval = ((callback: (...parameters: unknown[]) => void, ms?: number): NodeJS.Timeout => {
      const timer = setInterval(callback, ms);
      timers.add(timer);
      return timer;
    }) as typeof setInterval;
    globalThis.clearTimeout = (timer) => {
      timers.delete(timer);
      clearTimeout(timer);
    };
    globalThis.clearInterval = (timer) => {
      timers.delete(timer);
      clearInterval(timer);
    };
    this.#undo.push(() =>
      Object.assign(globalThis, { setTimeout, setInterval, clearTimeout, clearInterval }),
    );
  }
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
