import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type ExpectedImage, expectedImage } from './expected-image.js';
import { imageSteps } from './image-steps.js';
import { ScriptedRegistry } from './scripted-registry.js';
import type { Reply } from './scripted-reply.js';
import { makeTinyLayout, type TinyEntry } from './tiny-image.js';

export interface ServedImages extends AsyncDisposable {
  readonly registry: ScriptedRegistry;
  /** As many as were asked for. */
  readonly images: readonly [ExpectedImage, ...ExpectedImage[]];
}

export interface ServedImagesOptions {
  /** How many images, each with all the shared layers below one layer of its own. Default 1. */
  readonly count?: number;
  /** How blobs are sent, once it is known what the images become. */
  readonly blobs?: Reply;
  /** Default: {@link layersOfAllKinds}. */
  readonly shared?: readonly (readonly TinyEntry[])[];
  /** The layer that only one image has. */
  readonly own?: (image: number) => readonly TinyEntry[];
}

/** A few hundred small files, one of some megabytes, and what an upper layer does to a lower one. */
export function layersOfAllKinds(): readonly (readonly TinyEntry[])[] {
  return [
    filesIn('usr', 200, 3000),
    [...filesIn('lib', 20, 20_000), { path: 'lib/large', content: randomBytes(3 << 20) }],
    [
      { path: 'usr/' },
      { path: 'usr/.wh.file-7' },
      { path: 'usr/file-8', link: '../lib/large' },
      ...filesIn('srv', 100, 500),
    ],
  ];
}

/** A directory with so many files of bytes that do not compress. */
export function filesIn(directory: string, files: number, bytes: number): TinyEntry[] {
  return [
    { path: `${directory}/` },
    ...Array.from({ length: files }, (_, n) => ({
      path: `${directory}/file-${n}`,
      content: randomBytes(bytes),
    })),
  ];
}

/** Images at a registry of their own, and what each must become. They share their lower layers. */
export async function serveImages(o: ServedImagesOptions = {}): Promise<ServedImages> {
  const { count = 1, blobs, shared = layersOfAllKinds(), own = (n) => filesIn(`own-${n}`, 30, 4000) } = o;
  const work = await mkdtemp(join(tmpdir(), 'landfall-served-'));
  const registry = await ScriptedRegistry.start([]);
  let settled: Reply | undefined;
  try {
    const images: ExpectedImage[] = [];
    for (let n = 0; n < count; n++) {
      const layout = await makeTinyLayout(join(work, `${n}`), { layers: [...shared, own(n)] });
      const first = ({ line }: { line: string }): Reply | undefined => {
        const digest = /^GET \/v2\/team\/app\/blobs\/(.*)$/.exec(line)?.[1];
        const body = [...layout.blobs].find(([blob]) => blob === digest)?.[1];
        return settled === undefined || body === undefined ? undefined : { body, ranges: true, ...settled };
      };
      registry.expect(...imageSteps(layout, { repository: 'team/app', tag: `${n}`, first }));
      images.push(await expectedImage(`${registry.address}/team/app:${n}`, layout));
    }
    settled = blobs;
    const [image, ...others] = images;
    if (image === undefined) throw new Error('no image was asked for');
    return {
      registry,
      images: [image, ...others],
      [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
    };
  } catch (error) {
    await registry[Symbol.asyncDispose]();
    throw error;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
