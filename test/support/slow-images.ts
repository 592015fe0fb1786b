import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageSteps } from './image-steps.js';
import { type Reply, ScriptedRegistry, type SeenRequest } from './scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from './tiny-image.js';

export interface SlowImage {
  /** `team/app` */
  readonly name: string;
  /** Bytes of the one file in each layer, bottom first. */
  readonly layers: readonly number[];
}

export interface SlowImagesOptions {
  /** On each connection. Default: as fast as it goes. */
  readonly bytesPerSecond?: number;
  /** How often a piece is sent, where there is a rate. */
  readonly paceMs?: number;
  /** Asked first, for every request; undefined goes on to the honest answer. */
  readonly first?: (request: SeenRequest) => Reply | undefined;
}

/** Images at a registry that takes its time over them. They are the same each time, digests included. */
export class SlowImages implements AsyncDisposable {
  readonly references: readonly string[];
  readonly registry: ScriptedRegistry;
  readonly layouts: readonly TinyLayout[];

  private constructor(
    registry: ScriptedRegistry,
    images: readonly SlowImage[],
    layouts: readonly TinyLayout[],
  ) {
    this.registry = registry;
    this.layouts = layouts;
    this.references = images.map(({ name }) => `${registry.address}/${name}:1`);
  }

  static async start(images: readonly SlowImage[], o: SlowImagesOptions = {}): Promise<SlowImages> {
    const { bytesPerSecond, paceMs, first } = o;
    const work = await mkdtemp(join(tmpdir(), 'landfall-slow-images-'));
    const layouts: TinyLayout[] = [];
    for (const [at, { name, layers }] of images.entries()) {
      layouts.push(
        await makeTinyLayout(join(work, String(at)), {
          compression: 'none',
          layers: layers.map((bytes, layer) => [
            { path: `${name.replaceAll('/', '-')}-${layer}`, content: noise(`${name} ${layer}`, bytes) },
          ]),
        }),
      );
    }
    await rm(work, { recursive: true });
    const blobs: Reply = {
      ranges: true,
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
      ...(paceMs === undefined ? {} : { paceMs }),
    };
    const registry = await ScriptedRegistry.start(
      layouts.flatMap((layout, at) =>
        imageSteps(layout, {
          repository: images[at]?.name ?? '',
          tag: '1',
          blobs,
          ...(first === undefined ? {} : { first }),
        }),
      ),
    );
    return new SlowImages(registry, images, layouts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]();
  }
}

/** Bytes that a seed alone decides. */
function noise(seed: string, length: number): Buffer {
  return createHash('shake256', { outputLength: Math.max(1, length) })
    .update(seed)
    .digest();
}
