import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContainerdNode } from './containerd-node.js';
import { imageSteps } from './image-steps.js';
import { makePodLayout } from './pod-image.js';
import { errorReply, type Reply, ScriptedRegistry, type SeenRequest } from './scripted-registry.js';
import type { TinyLayout } from './tiny-image.js';

export interface StallingImageOptions {
  readonly name: string;
  /** On top of the shell's. */
  readonly layers: number;
  /**
   * `stalls`: each layer but the shell's stops in its middle; `slow`: these come in seconds; `refuses`:
   * landfall gets no layers.
   */
  readonly manner?: StallingManner;
}

type StallingManner = 'honest' | 'stalls' | 'slow' | 'refuses';

const SLOW_BYTES_PER_SECOND = 30_000;

/** An image for the pods of a node, at a registry of its own that does not always send what it has. */
export class StallingImage implements AsyncDisposable {
  manner: StallingManner;
  readonly reference: string;
  readonly #layout: TinyLayout;
  readonly #registry: ScriptedRegistry;
  readonly #repository: string;

  private constructor(
    layout: TinyLayout,
    registry: ScriptedRegistry,
    { name, manner = 'honest' }: StallingImageOptions,
  ) {
    this.manner = manner;
    this.#layout = layout;
    this.#registry = registry;
    this.#repository = `fleet/${name}`;
    this.reference = `${registry.address}/${this.#repository}:1`;
    const first = (request: SeenRequest): Reply | undefined => this.#otherwise(request);
    registry.expect(...imageSteps(layout, { repository: this.#repository, tag: '1', first }));
  }

  static async start(node: ContainerdNode, options: StallingImageOptions): Promise<StallingImage> {
    const directory = await mkdtemp(join(tmpdir(), 'landfall-stalling-'));
    const layout = await makePodLayout(directory, options);
    await rm(directory, { recursive: true });
    const registry = await ScriptedRegistry.start([]);
    await node.containerd.trust(registry.address);
    return new StallingImage(layout, registry, options);
  }

  /** What of its layers arrives where they stop: how many do, and all of their bytes. */
  get halves(): { readonly count: number; readonly bytes: number } {
    const sizes = this.#upper.map(({ size }) => halfOf(size));
    return { count: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  }

  /** How many bytes of the layers that may stop were sent, and how many of these more than once. */
  get sent(): { readonly bytes: number; readonly twice: number } {
    const { sent } = this.#registry;
    const paths = this.#upper.map(({ digest }) => this.#pathOf(digest));
    const twice = paths.flatMap((path) => sent.twice(path));
    return {
      bytes: paths.reduce((sum, path) => sum + sent.total(path), 0),
      twice: twice.reduce((sum, { start, end }) => sum + end - start, 0),
    };
  }

  /** How many bytes these layers have. */
  get bytes(): number {
    return this.#upper.reduce((sum, { size }) => sum + size, 0);
  }

  /** How many requests have no end of their answer yet. */
  get underWay(): number {
    return this.#registry.underWay.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registry[Symbol.asyncDispose]();
  }

  get #upper(): TinyLayout['manifests'][0]['layers'] {
    return this.#layout.manifests[0].layers.slice(1);
  }

  #pathOf(digest: string): string {
    return `/v2/${this.#repository}/blobs/${digest}`;
  }

  #otherwise({ line, headers }: SeenRequest): Reply | undefined {
    const layer = this.#layout.manifests[0].layers.find(
      ({ digest }) => line === `GET ${this.#pathOf(digest)}`,
    );
    if (layer === undefined || this.manner === 'honest') return undefined;
    if (this.manner === 'refuses')
      return headers['user-agent']?.startsWith('landfall/') === true ? errorReply(403, 'DENIED') : undefined;
    if (!this.#upper.includes(layer)) return undefined;
    const sent = { body: this.#layout.blobs.get(layer.digest) ?? '', ranges: true } as const;
    if (this.manner === 'slow') return { ...sent, bytesPerSecond: SLOW_BYTES_PER_SECOND };
    // Whoever asks for the rest gets nothing of it.
    return { ...sent, stallAfter: headers.range === undefined ? halfOf(layer.size) : 0 };
  }
}

function halfOf(size: number): number {
  return Math.floor(size / 2);
}
