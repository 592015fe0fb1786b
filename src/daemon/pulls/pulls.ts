import { createHmac, randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { untilAborted } from '../../concurrency/index.js';
import { pull } from '../../engine/pull/pull.js';
import type { PullBudget } from '../../engine/pull/pull-budget.js';
import type { PullEvent, PullResult } from '../../engine/pull/pull-report.js';
import type { Store } from '../../engine/store.js';
import { type Abortable, abortedError, LandfallError, RegistryError, throwIfAborted } from '../../errors.js';
import type { Credentials, RegistryClient } from '../../registry/index.js';
import {
  formatPlatform,
  formatReference,
  hostPlatform,
  parseReference,
  type Platform,
  type Reference,
} from '../../spec/index.js';
import type { PolicyFile } from '../../trust/index.js';
import { registryFor } from './credentials.js';
import { PullSlots, type PullSlotsOptions, Transfer, type TransferProgress } from './transfer.js';

export interface PullsOptions extends PullSlotsOptions {
  readonly store: Store;
  /** With the daemon's own credentials. */
  readonly registry: RegistryClient;
  /** What says which signatures images need, where a pull has none of its own. */
  readonly policy?: PolicyFile | undefined;
  readonly budget: PullBudget;
  /**
   * How long a pull may make no progress, in milliseconds; 0: for ever. Time in which others have all of the
   * budget does not count.
   */
  readonly progressTimeoutMs: number;
  /** Drop the blobs of layers once they are unpacked, whatever a pull asks for. */
  readonly discardLayers: boolean;
  /** Awaited once an image has its name, before its pull is done, so that containerd knows it by then. */
  readonly onNamed?: (name: string, o: Abortable) => Promise<void>;
}

/** The request for a pull. */
export interface AskedPull {
  readonly reference: string;
  readonly platform?: Platform | undefined;
  /** Undefined: the daemon's own. */
  readonly credentials?: Credentials | undefined;
  /** Undefined: the daemon's own. */
  readonly policy?: PolicyFile | undefined;
  /** What the image was asked for as, where the reference is a manifest that this leads to. */
  readonly askedAs?: Reference | undefined;
  readonly allPlatforms?: boolean | undefined;
  readonly unpack?: boolean | undefined;
  readonly verifyFirst?: boolean | undefined;
  readonly discardLayers?: boolean | undefined;
  /** Give the image no name. */
  readonly nameless?: boolean | undefined;
  /** Aborted when the caller does not want it any more. The pull goes on for other callers. */
  readonly signal?: AbortSignal | undefined;
  readonly onEvent?: ((event: PullEvent) => void) | undefined;
}

/** What became of a pull. */
export interface EndedPull {
  readonly id: string;
  /** Canonical. */
  readonly reference: string;
  readonly registry: string;
  readonly durationMs: number;
  readonly outcome: { readonly result: PullResult } | { readonly error: Error };
  readonly progress: TransferProgress;
}

interface PullsEvents {
  /** A transfer began, came further or ended. */
  changed: [transfer: Transfer];
  /** A pull was begun; joining one is not. */
  begun: [id: string, reference: string];
  ended: [ended: EndedPull];
  event: [id: string, event: PullEvent];
}

/** A pull under way, and the calls that wait for it. */
interface Flight extends Begun {
  readonly done: Promise<PullResult>;
}

interface Begun {
  readonly transfer: Transfer;
  readonly controller: AbortController;
  readonly listeners: Set<(event: PullEvent) => void>;
  waiting: number;
}

/**
 * The pulls of a daemon. Equal pulls are one, which ends early only when no call waits for it any more; all
 * of them share a budget. A pull that ends early leaves its partial blobs, from which the next one resumes.
 */
export class Pulls extends EventEmitter<PullsEvents> {
  readonly #options: PullsOptions;
  readonly #flights = new Set<Flight>();
  /** Those that can be joined, by what they are of. */
  readonly #joinable = new Map<string, Flight>();
  readonly #slots: PullSlots;
  #count = 0;
  #stopped = false;

  constructor(options: PullsOptions) {
    super();
    this.#options = options;
    this.#slots = new PullSlots(options);
  }

  /** How many calls wait for a transfer. */
  waitingFor(id: string): number {
    return this.#flightOf(id)?.waiting ?? 0;
  }

  /** What is in flight, in the order in which it was asked for. */
  list(): readonly TransferProgress[] {
    return [...this.#flights].map(({ transfer }) => transfer.progress());
  }

  /**
   * Pulls an image, or waits for the same pull under way.
   *
   * @throws as `pull` does; RegistryError UNAVAILABLE without progress; ABORTED by the signal, or when the
   *   daemon stops
   */
  async pull(asked: AskedPull): Promise<PullResult> {
    const { signal, onEvent } = asked;
    throwIfAborted(signal);
    if (this.#stopped) throw stopping();
    const reference = parseReference(asked.reference, { defaultTag: true });
    const key = pullKey(reference, { ...asked, policy: asked.policy ?? this.#options.policy });
    const flight = this.#joinable.get(key) ?? this.#begin(key, reference, asked);
    flight.waiting += 1;
    if (onEvent !== undefined) flight.listeners.add(onEvent);
    try {
      return await untilAborted(flight.done, signal);
    } finally {
      flight.waiting -= 1;
      if (onEvent !== undefined) flight.listeners.delete(onEvent);
      if (flight.waiting === 0) flight.controller.abort(abortedError(signal));
    }
  }

  /** Ends a pull for all calls that wait for it. @returns false where there is none of that ID */
  cancel(id: string): boolean {
    const flight = this.#flightOf(id);
    flight?.controller.abort(new LandfallError('ABORTED', 'the pull was cancelled', { retryable: true }));
    return flight !== undefined;
  }

  /** Begins nothing more, and ends what does not end by itself in some milliseconds. */
  async stop(patienceMs: number): Promise<void> {
    this.#stopped = true;
    const timer = setTimeout(() => {
      for (const { controller } of this.#flights) controller.abort(stopping());
    }, patienceMs);
    while (this.#flights.size > 0) await Promise.allSettled([...this.#flights].map(({ done }) => done));
    clearTimeout(timer);
  }

  #flightOf(id: string): Flight | undefined {
    return [...this.#flights].find(({ transfer }) => transfer.id === id);
  }

  #begin(key: string, reference: Reference, asked: AskedPull): Flight {
    this.#count += 1;
    const transfer = new Transfer(String(this.#count), formatReference(reference));
    const controller = new AbortController();
    const begun = { transfer, controller, listeners: new Set<(event: PullEvent) => void>(), waiting: 0 };
    const done = this.#run(begun, reference, asked);
    const flight: Flight = Object.assign(begun, { done });
    this.#flights.add(flight);
    this.#joinable.set(key, flight);
    const forget = (): void => {
      if (this.#joinable.get(key) === flight) this.#joinable.delete(key);
    };
    // A pull that is about to end cannot be joined.
    controller.signal.addEventListener('abort', forget, { once: true });
    const end = (): void => {
      forget();
      this.#flights.delete(flight);
    };
    done.then(end, end);
    this.emit('changed', transfer);
    return flight;
  }

  async #run(flight: Begun, reference: Reference, asked: AskedPull): Promise<PullResult> {
    const { transfer, controller } = flight;
    const begunAt = performance.now();
    const end = (outcome: EndedPull['outcome']): void => {
      transfer.ended('error' in outcome ? outcome.error : undefined);
      this.emit('changed', transfer);
      this.emit('ended', {
        id: transfer.id,
        reference: transfer.reference,
        registry: reference.registry,
        durationMs: performance.now() - begunAt,
        outcome,
        progress: transfer.progress(),
      });
    };
    try {
      const result = await this.#slots.take(reference.registry, controller.signal, async () => {
        transfer.begun();
        this.emit('begun', transfer.id, transfer.reference);
        this.emit('changed', transfer);
        return await this.#pullNow(flight, reference, asked);
      });
      end({ result });
      return result;
    } catch (error) {
      // Of an abort its reason is what happened.
      const cause = controller.signal.aborted
        ? (controller.signal.reason as Error)
        : asked.credentials === undefined
          ? withLoginHint(error as Error, reference.registry)
          : (error as Error);
      end({ error: cause });
      throw cause;
    }
  }

  async #pullNow(
    { transfer, controller, listeners }: Begun,
    reference: Reference,
    asked: AskedPull,
  ): Promise<PullResult> {
    const { store, registry, policy, budget, progressTimeoutMs, discardLayers, onNamed } = this.#options;
    const { signal } = controller;
    const stall = (): void => controller.abort(stalled(transfer.reference, progressTimeoutMs));
    using watch = progressTimeoutMs === 0 ? undefined : new StallWatch(progressTimeoutMs, stall);
    const result = await pull({
      ...asked,
      store,
      registry: registryFor(registry, reference.registry, asked.credentials),
      reference,
      policy: asked.policy ?? policy,
      discardLayers: (asked.discardLayers ?? false) || (discardLayers && asked.unpack !== false),
      budget,
      signal,
      onEvent: (event) => {
        const further = transfer.follow(event);
        if (transfer.waits) watch?.pause();
        else if (further) watch?.progressed();
        for (const listener of listeners) listener(event);
        this.emit('event', transfer.id, event);
        this.emit('changed', transfer);
      },
    });
    watch?.progressed();
    if (asked.nameless !== true) await onNamed?.(result.reference, { signal });
    return result;
  }
}

/** Where the daemon looks for credentials of its own. */
export const DAEMON_AUTH_FILE = '/etc/landfall/auth.json';

/** The login of a user is not the daemon's. */
function withLoginHint(error: Error, registry: string): Error {
  if (!(error instanceof RegistryError) || error.code !== 'UNAUTHORIZED') return error;
  const { code, message, details, retryable } = error;
  return new RegistryError(code, message, {
    cause: error,
    details,
    retryable,
    hint: `Log in for the daemon with \`landfall login --authfile ${DAEMON_AUTH_FILE} ${registry}\`, or give the pod a pull secret; \`landfall login\` alone is for your own pulls.`,
  });
}

/** That a pull is given up which makes no progress. @param ms for how long */
function stalled(reference: string, ms: number): RegistryError {
  return new RegistryError(
    'UNAVAILABLE',
    `${reference}: the pull made no progress for ${Math.round(ms / 1000)} seconds`,
    {
      retryable: true,
      hint: 'Check the network and the registry; partial downloads are kept, and the next pull resumes them.',
    },
  );
}

/** That nothing more is begun. */
function stopping(): LandfallError {
  return new LandfallError('UNAVAILABLE', 'the daemon is stopping', {
    retryable: true,
    hint: 'Try again when it has been started; partial downloads are kept.',
  });
}

/** New in each process, so that a key reveals nothing of the credentials in it. */
const SALT = randomBytes(32);

/**
 * Equal for pulls that may be one. A client without the right to pull or use an image gets nothing by asking
 * for it while another client, which has the right, pulls it.
 */
function pullKey(reference: Reference, { credentials, policy, askedAs, ...asked }: AskedPull): string {
  const given = credentials && JSON.stringify(Object.entries(credentials).sort());
  const secret = given === undefined ? '' : createHmac('sha256', SALT).update(given).digest('hex');
  return JSON.stringify([
    formatReference(reference),
    formatPlatform(asked.platform ?? hostPlatform()),
    policy?.path ?? '',
    askedAs === undefined ? '' : formatReference(askedAs),
    secret,
    asked.allPlatforms ?? false,
    asked.unpack ?? true,
    asked.verifyFirst ?? false,
    asked.discardLayers ?? false,
    asked.nameless ?? false,
  ]);
}

/** Ends what makes no progress for some time. Time in which it can make none is left out. */
class StallWatch implements Disposable {
  readonly #ms: number;
  readonly #onStall: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param ms how long nothing may happen */
  constructor(ms: number, onStall: () => void) {
    this.#ms = ms;
    this.#onStall = onStall;
    this.progressed();
  }

  /** From now on the time does not count, until there is progress. */
  pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  progressed(): void {
    if (this.#timer === undefined) this.#timer = setTimeout(this.#onStall, this.#ms).unref();
    else this.#timer.refresh();
  }

  [Symbol.dispose](): void {
    this.pause();
  }
}
