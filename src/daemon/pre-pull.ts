import { readFile, stat } from 'node:fs/promises';
import { mapLimited } from '../concurrency/index.js';
import { LandfallError, systemCode } from '../errors.js';
import { formatReference, LIMITS, parseImageList } from '../spec/index.js';
import { type NodeImages, nodeReference } from './cri/node-images.js';
import type { Pulls } from './pulls/pulls.js';

export interface PrePullOptions {
  /** Path of a list of images. */
  readonly file: string;
  readonly pulls: Pick<Pulls, 'pull'>;
  readonly images: Pick<NodeImages, 'find'>;
  /** Pins the canonical names of the list, and no others. */
  readonly pin: (names: Iterable<string>) => Promise<void>;
  /** Called when the list cannot be read any more, and for each image that cannot be pulled. */
  readonly onProblem: (error: unknown, reference: string | undefined) => void;
}

/** How often it is looked whether the list has changed and its images are still here, in milliseconds. */
const LOOK_MS = 60_000;
/** How long after a pull that failed the next is tried; each further one waits twice as long. */
const FIRST_PAUSE_MS = 10_000;
const LONGEST_PAUSE_MS = 5 * 60_000;
/** So many images are pulled at once, so that a kubelet's pulls come between them. */
const AT_ONCE = 2;

/** An image of the list, and what became of the tries to have it. */
interface Wanted {
  readonly reference: string;
  failures: number;
  /** By `Date.now()`. */
  nextTry: number;
}

/**
 * Keeps the images of a list on the node: pulls them at the daemon's start, and again when they are gone.
 * They are pinned.
 */
export class PrePull implements AsyncDisposable {
  readonly #options: PrePullOptions;
  readonly #wanted = new Map<string, Wanted>();
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #modified: number | undefined;

  constructor(options: PrePullOptions) {
    this.#options = options;
  }

  /**
   * Reads the list, and begins.
   *
   * @throws LandfallError INVALID_CONFIG where it cannot be read, or names something that is no image
   */
  async start(): Promise<void> {
    await this.#read();
    this.#look();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    clearTimeout(this.#timer);
    await this.#looking;
  }

  #look(): void {
    this.#looking = this.#bringAll().finally(() => {
      if (this.#stop.signal.aborted) return;
      this.#timer = setTimeout(() => this.#look(), this.#untilNext()).unref();
    });
  }

  #untilNext(): number {
    const tries = [...this.#wanted.values()]
      .filter(({ failures }) => failures > 0)
      .map(({ nextTry }) => nextTry);
    return Math.max(0, Math.min(LOOK_MS, ...tries.map((at) => at - Date.now())));
  }

  async #bringAll(): Promise<void> {
    await this.#readAgain();
    // Each time: another program may have taken a pin away, or made the database anew.
    await this.#options
      .pin(this.#wanted.keys())
      .catch((error: unknown) => this.#options.onProblem(error, undefined));
    const due = [...this.#wanted.values()].filter(({ nextTry }) => nextTry <= Date.now());
    await mapLimited(due, AT_ONCE, (wanted) => this.#bring(wanted));
  }

  async #bring(wanted: Wanted): Promise<void> {
    const { pulls, images, onProblem } = this.#options;
    const { signal } = this.#stop;
    try {
      if (signal.aborted || (await images.find(wanted.reference)) !== undefined) return;
      await pulls.pull({ reference: wanted.reference, signal });
      wanted.failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(wanted.failures, 20));
      wanted.failures += 1;
      wanted.nextTry = Date.now() + pause;
      onProblem(error, wanted.reference);
    }
  }

  /** Where it cannot be read, what it said before stays. */
  async #readAgain(): Promise<void> {
    try {
      const { mtimeMs } = await stat(this.#options.file);
      if (mtimeMs !== this.#modified) await this.#read();
    } catch (error) {
      this.#options.onProblem(error, undefined);
    }
  }

  async #read(): Promise<void> {
    const { file } = this.#options;
    const names = await readList(file);
    this.#modified = (await stat(file).catch(() => undefined))?.mtimeMs;
    for (const name of this.#wanted.keys()) if (!names.has(name)) this.#wanted.delete(name);
    for (const reference of names)
      if (!this.#wanted.has(reference)) this.#wanted.set(reference, { reference, failures: 0, nextTry: 0 });
  }
}

/** The canonical names of a list. @throws LandfallError INVALID_CONFIG */
async function readList(file: string): Promise<ReadonlySet<string>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new LandfallError(
      'INVALID_CONFIG',
      `the list of images ${file} cannot be read (${systemCode(cause) ?? 'unknown error'})`,
      { cause, hint: 'Give a file that names one image a line.' },
    );
  });
  const names = new Set<string>();
  for (const { name, line } of parseImageList(text)) names.add(canonical(name, `${file}:${line}`));
  if (names.size <= LIMITS.listItems) return names;
  throw new LandfallError('INVALID_CONFIG', `${file} names more than ${LIMITS.listItems} images`);
}

function canonical(name: string, where: string): string {
  try {
    return formatReference(nodeReference(name));
  } catch (cause) {
    throw new LandfallError('INVALID_CONFIG', `${where}: ${(cause as Error).message}`, {
      cause,
      hint: 'Write one image a line, such as registry.k8s.io/pause:3.10.',
    });
  }
}
