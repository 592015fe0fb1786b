import type { Descriptor } from '../spec/index.js';
import type { ContentRole, CopyEvent } from './copy-report.js';

type ContentEvent = Omit<Extract<CopyEvent, { type: 'content' }>, 'destination'>;

/** Progress is told at most so often for a blob, in ms. */
const INTERVAL_MS = 50;

/** Tells how far a blob has come, now and then. */
export class PutProgress {
  readonly #descriptor: Descriptor;
  readonly #role: ContentRole;
  readonly #tell: (event: ContentEvent) => void;
  #told = 0;

  constructor(descriptor: Descriptor, role: ContentRole, tell: (event: ContentEvent) => void) {
    this.#descriptor = descriptor;
    this.#role = role;
    this.#tell = tell;
  }

  at(bytes: number): void {
    const now = performance.now();
    if (now - this.#told < INTERVAL_MS) return;
    this.#told = now;
    this.#tell({ type: 'content', descriptor: this.#descriptor, role: this.#role, state: 'copying', bytes });
  }
}
