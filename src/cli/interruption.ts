import type { ExitCode } from './exit-codes.js';

type Interrupting = 'SIGINT' | 'SIGTERM';
const CODES: Readonly<Record<Interrupting, ExitCode & (130 | 143)>> = { SIGINT: 130, SIGTERM: 143 };

/** How long what was interrupted may take to clean up, in ms. */
const GRACE_MS = 15_000;

/** The part of `process` that signals come from. */
export interface SignalSource {
  on(event: Interrupting, listener: () => void): unknown;
  off(event: Interrupting, listener: () => void): unknown;
  exit(code: number): never;
}

/**
 * Turns SIGINT and SIGTERM into one abort of everything; what runs then cleans up and the command ends with the
 * signal's exit code. A second signal does not wait for that, nor does the first for ever.
 */
export class Interruption implements Disposable {
  readonly #source: SignalSource;
  readonly #controller = new AbortController();
  readonly #listeners: Readonly<Record<Interrupting, () => void>>;
  #exitCode: 130 | 143 | undefined;

  constructor(source: SignalSource) {
    this.#source = source;
    this.#listeners = { SIGINT: () => this.#receive('SIGINT'), SIGTERM: () => this.#receive('SIGTERM') };
    source.on('SIGINT', this.#listeners.SIGINT);
    source.on('SIGTERM', this.#listeners.SIGTERM);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Set once a signal came. */
  get exitCode(): 130 | 143 | undefined {
    return this.#exitCode;
  }

  [Symbol.dispose](): void {
    this.#source.off('SIGINT', this.#listeners.SIGINT);
    this.#source.off('SIGTERM', this.#listeners.SIGTERM);
  }

  #receive(signal: Interrupting): void {
    const code = CODES[signal];
    if (this.#exitCode !== undefined) this.#source.exit(code);
    this.#exitCode = code;
    // Cleaning up may itself wait for something that never answers. Not counted where everything else has ended.
    setTimeout(() => this.#source.exit(code), GRACE_MS).unref();
    this.#controller.abort(new Error(`received ${signal}`));
  }
}
