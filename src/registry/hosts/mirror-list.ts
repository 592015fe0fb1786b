import { pause } from '../../concurrency/index.js';
import {
  type Abortable,
  ContentError,
  errorFromJSON,
  isWrongContent,
  type LandfallError,
  RegistryError,
  SpecError,
  throwIfAborted,
} from '../../errors.js';
import { delayAfter, finalError, type RetryOptions } from '../http/retry.js';
import type { HostCapability } from './host-config.js';
import type { FailoverOptions, HostHealths } from './host-health.js';
import { collectBeginning, contentLength, type HttpResponse, parseContentRange } from '../http/http.js';
import type { RegistryHost, RegistryRequest } from './registry-host.js';

export interface MirrorListOptions {
  /** As references name it. */
  readonly registry: string;
  /**
   * The hosts in the order in which they are configured, the registry itself last. Asked before each request.
   */
  readonly hosts: () => Promise<readonly RegistryHost[]>;
  readonly healths: HostHealths;
  readonly retry?: RetryOptions | undefined;
  readonly failover?: FailoverOptions | undefined;
}

type HostSet = Pick<ReadonlySet<RegistryHost>, 'has'>;

export interface HostRun extends Abortable {
  readonly capability: HostCapability;
  /** Lists (tags, referrers) are whole only at the registry itself, so it is asked before its mirrors. */
  readonly upstreamFirst?: boolean;
  /** What the action resolves to is a blob's body, which has yet to be read. See {@link HostAttempt.over}. */
  readonly blob?: boolean;
  /** Hosts that are not asked while there is another one. */
  readonly without?: HostSet | undefined;
  /** Called before each pause after which a host is asked again. */
  readonly onRetry?: (() => void) | undefined;
}

export interface BlobOutcome {
  /** How many came. */
  readonly bytes: number;
  /** All that were asked for. */
  readonly whole?: boolean;
  readonly error?: unknown;
  /** Given up because it came too slowly. */
  readonly slow?: boolean;
}

/** A request without what the run knows of it. */
export type AttemptRequest = Omit<RegistryRequest, 'attempt' | 'signal' | 'patienceMs'>;

/** One host's turn to be asked. */
export interface HostAttempt extends Abortable {
  readonly host: RegistryHost;
  readonly attempt: number;
  /** Whether another host could be asked instead, so that this one need not be waited for long. */
  readonly alternatives: boolean;
  /** As {@link RegistryHost.request}, as one try of the run. */
  readonly request: (request: AttemptRequest) => Promise<HttpResponse>;
  /** Of a blob's body: so many bytes have come so far. */
  progressed(bytes: number): void;
  /** Of a blob's body: it was read to its end, or given up, or broke. Only the first call counts. */
  over(outcome: BlobOutcome): void;
}

/** How a host has failed in one run, and when it may be asked again, by `performance.now()`. */
interface Failed {
  readonly error: LandfallError;
  readonly attempts: number;
  /** How many of them were answered with something that is not what it should be. */
  readonly wrong: number;
  readonly notBefore: number;
}

/** A host that lacks so many things, or breaks off so often, is not asked again by the same task. */
const STRIKES = 2;

/**
 * The hosts of one registry for one task, such as a pull. Each request goes to the first host that is well;
 * when that fails, to the next. A host that failed is left out for the rest of the task and, by all tasks,
 * for a growing while; it is asked again only when nothing else works.
 *
 * Requests are tried again here and nowhere else: what {@link run} throws is final. A body that breaks off is
 * resumed by the fetcher.
 */
export class MirrorList {
  readonly registry: string;
  readonly #options: MirrorListOptions;
  readonly #left = new Set<RegistryHost>();
  readonly #strikes = new Map<RegistryHost, number>();

  constructor(options: MirrorListOptions) {
    this.registry = options.registry;
    this.#options = options;
  }

  /**
   * Calls for one host after the other until it succeeds; then, after a pause, again for those that may do
   * better next time.
   *
   * @throws what the only host said, or a RegistryError that lists what each one said
   */
  async run<T>(run: HostRun, action: (hostAttempt: HostAttempt) => Promise<T>): Promise<T> {
    const failures = new Map<RegistryHost, Failed>();
    let next = 0;
    for (;;) {
      // A timer may end a fraction of a millisecond early.
      const now = Math.max(performance.now(), next);
      const due = (await this.#inOrder(run)).filter((host) => (failures.get(host)?.notBefore ?? 0) <= now);
      const result = await this.#ask(due, { run, failures }, action);
      if (result !== undefined) return result.value;
      // One that was given up while its turn was waited for stands last by now, and has its turn all the
      // same.
      if (due.some((host) => !failures.has(host))) continue;
      next = Math.min(...[...failures.values()].map(({ notBefore }) => notBefore));
      if (next === Number.POSITIVE_INFINITY) {
        const { retry } = this.#options;
        throw hostsError(
          [...failures].map(([host, { error, attempts }]) => ({
            host,
            error: finalError(error, attempts, retry),
          })),
        );
      }
      run.onRetry?.();
      await pause(next - performance.now(), run);
    }
  }

  /** Does without a host for the rest of the task: it gave something that turned out to be false. */
  leave(host: RegistryHost): void {
    this.#left.add(host);
    this.#options.healths.of(host.identity).failed();
  }

  /** Whether there is a host for this beside those. */
  async hasOther(capability: HostCapability, than: HostSet): Promise<boolean> {
    return (await this.#options.hosts()).some((host) => host.can(capability) && !than.has(host));
  }

  /** Undefined where each of them failed. */
  async #ask<T>(
    hosts: readonly RegistryHost[],
    { run, failures }: { run: HostRun; failures: Map<RegistryHost, Failed> },
    action: (hostAttempt: HostAttempt) => Promise<T>,
  ): Promise<{ value: T } | undefined> {
    for (const [at, host] of hosts.entries()) {
      throwIfAborted(run.signal);
      const before = failures.get(host);
      const attempt = (before?.attempts ?? 0) + 1;
      // Those that were left stand last, and are waited for as if they were the only ones.
      const alternatives = hosts.slice(at + 1).some((other) => !this.#isLeft(other));
      const hostAttempt = await this.#attempt(host, { run, attempt, alternatives });
      if (hostAttempt === undefined) continue;
      try {
        const value = await action(hostAttempt);
        if (run.blob !== true) this.#options.healths.of(host.identity).succeeded();
        return { value };
      } catch (error) {
        // What breaks because of an abort is no fault of the host; its slot is given back all the same.
        hostAttempt.over(run.signal?.aborted === true ? { bytes: 0 } : { bytes: 0, error });
        throwIfAborted(run.signal);
        if (!isAnswer(error)) throw error;
        // Of a list, only the registry itself can say that it does not exist.
        if (run.upstreamFirst === true && host.isUpstream && !error.retryable) throw error;
        const wrong = (before?.wrong ?? 0) + (isWrongContent(error) ? 1 : 0);
        const delay = this.#delayAfter(error, run, { attempt, wrong }) ?? Number.POSITIVE_INFINITY;
        failures.set(host, { error, attempts: attempt, wrong, notBefore: performance.now() + delay });
      }
    }
    return undefined;
  }

  /** Until the host may be asked again; undefined where it may not be. */
  #delayAfter(
    error: LandfallError,
    run: HostRun,
    { attempt, wrong }: { attempt: number; wrong: number },
  ): number | undefined {
    const { retry } = this.#options;
    if (!isWrongContent(error)) return delayAfter(error, attempt, retry);
    // A registry that has stored something else than was pushed would do so again.
    return run.capability === 'push' ? undefined : delayAfter(error, wrong, retry);
  }

  async #attempt(
    host: RegistryHost,
    { run, attempt, alternatives }: { run: HostRun; attempt: number; alternatives: boolean },
  ): Promise<HostAttempt | undefined> {
    const health = this.#options.healths.of(host.identity);
    const leave =
      run.blob === true && alternatives
        ? await health.enter(() => !this.#isLeft(host), run)
        : (): void => undefined;
    if (leave === undefined) return undefined;
    let isOver = false;
    const { signal } = run;
    // What is pushed goes to one place, which may take its time.
    const patienceMs =
      alternatives && run.capability !== 'push' ? (this.#options.failover?.firstByteMs ?? 20_000) : undefined;
    return {
      host,
      attempt,
      alternatives,
      signal,
      request: (request) => host.request({ ...request, attempt, signal, patienceMs }),
      progressed: (bytes) => health.delivered(bytes, false),
      over: ({ bytes, whole = false, error, slow = false }) => {
        if (isOver) return;
        isOver = true;
        if (isAnswer(error)) this.#strike(host, error, bytes > 0 && !slow);
        if (whole) {
          health.succeeded();
          health.delivered(bytes, true);
          this.#strikes.delete(host);
        }
        leave();
      },
    };
  }

  /** Those that are well in their order, then the others as the last resort. */
  async #inOrder({ capability, upstreamFirst, without }: HostRun): Promise<RegistryHost[]> {
    const all = (await this.#options.hosts()).filter((host) => host.can(capability));
    if (all.length === 0) throw unable(this.registry, capability);
    const others = all.filter((host) => without?.has(host) !== true);
    const able = others.length > 0 ? others : all;
    const own = able.filter((host) => host.isUpstream);
    // The last one stands for the registry where its own address is not configured to be asked.
    if (own.length === 0) own.push(...able.slice(-1));
    // What is pushed belongs together, so it goes to one place.
    if (capability === 'push') return own;
    const ordered = upstreamFirst === true ? [...own, ...able.filter((host) => !own.includes(host))] : able;
    return [
      ...ordered.filter((host) => !this.#isLeft(host)),
      ...ordered.filter((host) => this.#isLeft(host)),
    ];
  }

  #isLeft(host: RegistryHost): boolean {
    if (this.#options.healths.of(host.identity).pause > 0) this.#left.add(host);
    return this.#left.has(host);
  }

  /** @param progressed whether it broke off after it had begun to deliver, which one mishap may have done */
  #strike(host: RegistryHost, error: LandfallError, progressed = false): void {
    const lacks = error.code === 'NOT_FOUND';
    if (lacks || progressed) {
      const strikes = (this.#strikes.get(host) ?? 0) + 1;
      this.#strikes.set(host, strikes);
      if (strikes < STRIKES) return;
    }
    this.#left.add(host);
    // That it lacks or denies this is no fault of the host.
    if (lacks || error.code === 'UNAUTHORIZED' || error.code === 'DENIED') return;
    const wait = error.details['retryAfterMs'];
    this.#options.healths.of(host.identity).failed(typeof wait === 'number' ? wait : 0);
  }
}

/**
 * Whether an error is something that a host answered, or did to the connection, so that another may do
 * better.
 */
function isAnswer(error: unknown): error is LandfallError {
  if (error instanceof RegistryError) return error.code !== 'ABORTED' && error.code !== 'INVALID_CONFIG';
  return (error instanceof ContentError || error instanceof SpecError) && error.code !== 'ABORTED';
}

function unable(registry: string, capability: HostCapability): RegistryError {
  return new RegistryError('INVALID_CONFIG', `no host of ${registry} may be used to ${capability}`, {
    hint: 'Look at the capabilities in its hosts.toml: landfall doctor --hosts REFERENCE.',
  });
}

/** What one host said, or did to the connection. */
export interface HostFailure {
  readonly host: RegistryHost;
  readonly error: LandfallError;
}

/**
 * The error when no host could do it: that of the registry itself, which knows best, and what each other host
 * said. Its details list all of them. With a single host it is that host's own.
 */
function hostsError(failures: readonly HostFailure[]): LandfallError {
  const main = failures.findLast(({ host }) => host.isUpstream) ?? failures.at(-1);
  if (main === undefined) {
    return new RegistryError('UNAVAILABLE', 'no host could be asked', { retryable: true });
  }
  if (failures.length === 1) return main.error;
  const others = failures.filter((failure) => failure !== main);
  const { message, details, ...rest } = main.error.toJSON();
  return errorFromJSON({
    ...rest,
    message: [message, ...others.map(said)].join('; also tried '),
    retryable: failures.some(({ error }) => error.retryable),
    details: { ...details, hosts: failures.map(said) },
  });
}

function said({ host, error }: HostFailure): string {
  return error.message.includes(host.name) ? error.message : `${host.name}: ${error.message}`;
}

type Head = Omit<AttemptRequest, 'method'>;

/** What a host says of a blob. */
export interface BlobAnswer {
  /** Among those that were expected, or of a part. */
  readonly status: number;
  /** Of the whole, in bytes; undefined where it does not say. */
  readonly size: number | undefined;
}

/**
 * The HEADs of one task, by which hosts are asked what they have. Some hosts, and more of the proxies before
 * them, answer a HEAD wrongly or not at all and a GET well. Where it was refused, or has failed twice, the
 * host is asked by GET for the rest of the task.
 */
export class HeadRequests {
  readonly #failed = new Set<RegistryHost>();
  /** Where a HEAD has failed in a way that may pass. */
  readonly #failedOnce = new Set<RegistryHost>();

  /**
   * The answer to a HEAD; undefined where the same is to be asked by GET now.
   *
   * @throws {RegistryError} what a GET cannot help, and what may pass: then there is another try
   */
  async send(hostAttempt: HostAttempt, request: Head): Promise<HttpResponse | undefined> {
    const { host } = hostAttempt;
    if (this.#failed.has(host)) return undefined;
    try {
      return await hostAttempt.request({ ...request, method: 'HEAD' });
    } catch (error) {
      if (!mayBeOfHead(error)) throw error;
      // Once, as where a kept connection has just been closed, it may be chance; and registries count GETs,
      // not HEADs.
      if (!error.retryable || this.#failedOnce.has(host)) this.#failed.add(host);
      this.#failedOnce.add(host);
      if (error.retryable) throw error;
      return undefined;
    }
  }

  /** Asks for a blob by HEAD, or else by a GET for its first byte. @throws {RegistryError} */
  async blob(hostAttempt: HostAttempt, request: Head): Promise<BlobAnswer> {
    const response =
      (await this.send(hostAttempt, request)) ??
      (await hostAttempt.request({
        ...request,
        method: 'GET',
        headers: { ...request.headers, range: 'bytes=0-0' },
        // An empty blob has no first byte.
        expected: [...request.expected, 206, 416],
      }));
    // A host that knows no ranges begins to send it all.
    await collectBeginning(response);
    return { status: response.status, size: wholeLength(response) };
  }

  /** Asks a host by GET from now on: what it said to a HEAD is not so, or too little. */
  distrust(host: RegistryHost): void {
    this.#failed.add(host);
  }
}

function wholeLength(response: HttpResponse): number | undefined {
  if (response.status === 206) return parseContentRange(response.header('content-range'))?.total;
  return response.status === 416 ? 0 : contentLength(response);
}

/**
 * Whether a failure may be one of HEAD alone. That credentials were refused is none, and to show them once
 * more would only lock the account sooner; nor is what a token server has said, or that there is no
 * connection to be had.
 */
function mayBeOfHead(error: unknown): error is RegistryError {
  if (!(error instanceof RegistryError) || error.details.method !== 'HEAD') return false;
  const { code, retryable, details } = error;
  if (code === 'UNAUTHORIZED') return details['challenges'] === 0;
  if (code === 'ABORTED' || code === 'NOT_FOUND') return false;
  return retryable || details.status !== undefined || code === 'PROTOCOL';
}
