import { randomUUID } from 'node:crypto';
import { untilAborted } from '../../concurrency/index.js';
import type { Lease } from '../../content/index.js';
import type { PullEvent } from '../../engine/pull/pull-report.js';
import type { Store } from '../../engine/store.js';
import { type Abortable, LandfallError, throwIfAborted } from '../../errors.js';
import type { Credentials } from '../../registry/index.js';
import { chainIds, type Digest, formatReference, parseReference } from '../../spec/index.js';
import type { Pulls } from '../pulls/pulls.js';
import type { RemoteImage } from './remote-image.js';

export interface RemoteLayersOptions {
  readonly store: { readonly leases: Pick<Store['leases'], 'create'> };
  readonly pulls: Pick<Pulls, 'pull'>;
  /** The credentials of a recent pull of this image. */
  readonly credentialsFor: (asked: string) => Credentials | undefined;
  /**
   * How long a pull goes on without a waiting call, and its layers are kept for a late one, in milliseconds.
   */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 30_000;
/**
 * How long the layers of a broken pull are kept for the next try, in milliseconds: kubelets wait at most five
 * minutes.
 */
const KEPT_MS = 10 * 60_000;

/**
 * Pulls the layers of images for a containerd, which asks for one after the other: the first request begins a
 * pull of all layers, the others wait for theirs in it. Images get no names: containerd has to retain its
 * layers.
 */
export class RemoteLayers implements AsyncDisposable {
  readonly #options: RemoteLayersOptions;
  readonly #downloads = new Map<string, ImagePull>();
  /** Pulls that broke off, which keep their layers. */
  readonly #broken = new Map<string, ImagePull>();

  constructor(options: RemoteLayersOptions) {
    this.#options = options;
  }

  /**
   * Waits until a chain of an image is a verified snapshot. It stays for some seconds, in which it has to be
   * retained; see {@link held}.
   *
   * @throws as `Pulls.pull` does; NOT_FOUND (the image has no such chain); ABORTED
   */
  async bring(image: RemoteImage, chainId: Digest, { signal }: Abortable): Promise<void> {
    throwIfAborted(signal);
    // What it is called decides with which credentials it is pulled.
    const key = `${image.asked} ${formatReference(image.reference)}`;
    const download = this.#downloads.get(key) ?? this.#begin(key, image);
    await download.wait(chainId, signal);
  }

  /** A chain is retained now, and need not be kept any more for a late request. */
  held(chainId: Digest): void {
    for (const download of [...this.#downloads.values(), ...this.#broken.values()]) download.held(chainId);
  }

  #begin(key: string, image: RemoteImage): ImagePull {
    const download: ImagePull = new ImagePull(image, {
      ...this.#options,
      before: this.#broken.get(key),
      onBroken: () => this.#broken.set(key, download),
      onEnd: () => {
        for (const downloads of [this.#downloads, this.#broken])
          if (downloads.get(key) === download) downloads.delete(key);
      },
    });
    this.#downloads.set(key, download);
    return download;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#downloads.values(), ...this.#broken.values()];
    await Promise.all(all.map((download) => download[Symbol.asyncDispose]()));
  }
}

interface ImagePullOptions extends RemoteLayersOptions {
  /** An earlier pull of the image, which broke off: its layers are kept until this one ends. */
  readonly before: ImagePull | undefined;
  /** It is not to be joined any more, and keeps what came. */
  readonly onBroken: () => void;
  /** It is not to be joined any more, and keeps nothing. */
  readonly onEnd: () => void;
}

/** The pull of one image, and the calls that wait for its layers. */
class ImagePull implements AsyncDisposable {
  readonly #image: RemoteImage;
  readonly #options: ImagePullOptions;
  readonly #controller = new AbortController();
  readonly #committed = new Set<string>();
  readonly #looks = new Map<string, () => void>();
  readonly #lease: Promise<Lease>;
  readonly #pulled: Promise<unknown>;
  /** The chain of all its layers, which containerd asks for last; known once the config is here. */
  #top: Digest | undefined;
  #layers: readonly Digest[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(image: RemoteImage, options: ImagePullOptions) {
    this.#image = image;
    this.#options = options;
    this.#lease = options.store.leases.create();
    this.#pulled = this.#pull();
    // A request after a failure may have other credentials.
    this.#pulled.catch(() => this.#break());
  }

  async wait(chainId: Digest, signal: AbortSignal | undefined): Promise<void> {
    clearTimeout(this.#timer);
    const id = randomUUID();
    try {
      const arrived = new Promise<void>((resolve, reject) => {
        const look = (): void => {
          if (this.#committed.has(chainId)) resolve();
        };
        this.#looks.set(id, look);
        look();
        this.#pulled.then(() => {
          look();
          reject(this.#hasNot(chainId));
        }, reject);
      });
      await untilAborted(arrived, signal);
    } finally {
      this.#looks.delete(id);
      if (this.#looks.size === 0) this.#rest(signal);
    }
  }

  /** A chain is retained: if it is the topmost, no further request comes. */
  held(chainId: Digest): void {
    const end = (): void => this.#end();
    if (chainId === this.#top) this.#pulled.then(end, end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#release();
    await this.#options.before?.[Symbol.asyncDispose]();
  }

  /** Ends, and keeps nothing. */
  async #release(): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#options.onEnd();
    this.#controller.abort();
    await this.#pulled.catch(() => undefined);
    const lease = await this.#lease.catch(() => undefined);
    await lease?.[Symbol.asyncDispose]();
  }

  /** No call waits for the moment. containerd may be between two layers. */
  #rest(signal: AbortSignal | undefined): void {
    // A broken pull has a time of its own.
    if (this.#isOver) return;
    if (signal?.aborted === true) this.#break();
    else this.#endIn(this.#options.patienceMs ?? PATIENCE_MS);
  }

  /** The pull broke off. Its layers are kept for a while: containerd releases them, and tries again. */
  #break(): void {
    if (this.#isOver) return;
    if (this.#top === undefined) {
      // Nothing came. What an earlier one keeps stays kept.
      this.#release().catch(() => undefined);
      return;
    }
    this.#isOver = true;
    this.#options.onEnd();
    this.#options.onBroken();
    this.#endIn(KEPT_MS);
    const abort = (): void => this.#controller.abort();
    // Blobs that are whole too, while the pull still has them.
    this.#lease.then((lease) => lease.addBlob(...this.#layers)).then(abort, abort);
  }

  #endIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#end(), ms);
    this.#timer.unref();
  }

  #end(): void {
    // A lease that cannot be given back expires.
    this[Symbol.asyncDispose]().catch(() => undefined);
  }

  async #pull(): Promise<void> {
    const { pulls, credentialsFor } = this.#options;
    const lease = await this.#lease;
    const leased: Promise<void>[] = [];
    const unkept = new AbortController();
    const keep = async (chainId: Digest): Promise<void> => {
      await lease.addSnapshot(chainId);
      this.#committed.add(chainId);
      for (const look of this.#looks.values()) look();
    };
    const follow = (event: PullEvent): void => {
      if (event.type === 'image') {
        this.#layers = event.layers.map(({ digest }) => digest);
        this.#top = chainIds(event.layers.map(({ diffId }) => diffId)).at(-1);
      }
      if (event.type !== 'layer' || (event.state !== 'committed' && event.state !== 'present')) return;
      // While the pull still has a lease of its own.
      const kept = keep(event.chainId);
      // A layer that is not leased may be collected before it is retained, so the pull is of no use any more.
      kept.catch((error: unknown) => unkept.abort(error));
      leased.push(kept);
    };
    try {
      await pulls.pull({
        reference: formatReference(this.#image.reference),
        credentials: credentialsFor(this.#image.asked),
        askedAs: parseReference(this.#image.asked),
        nameless: true,
        // containerd keeps no layers' blobs either: what is unpacked is on the disk once.
        discardLayers: true,
        signal: AbortSignal.any([this.#controller.signal, unkept.signal]),
        onEvent: follow,
      });
    } catch (error) {
      throw unkept.signal.aborted ? unkept.signal.reason : error;
    }
    await Promise.all(leased);
  }

  #hasNot(chainId: Digest): LandfallError {
    const { reference } = this.#image;
    return new LandfallError('NOT_FOUND', `${formatReference(reference)} has no layer ${chainId}`);
  }
}
