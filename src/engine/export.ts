import type { Readable } from 'node:stream';
import { throwIfAborted } from '../errors.js';
import { unpackLimits } from '../spec/index.js';
import { exportTree } from '../unpack/index.js';
import { requireUnpackable } from './fetch-graph.js';
import { loadImage } from './image.js';
import { resultOf, type UnpackImageOptions, type UnpackImageResult } from './unpack.js';

export type ExportImageOptions = Omit<UnpackImageOptions, 'directory' | 'pool' | 'ownership' | 'devices'>;

/** What {@link exportImage} gives. */
export interface ExportImageResult extends UnpackImageResult {
  /** The tar, which is made while it is read. Breaking off is allowed; an error means that what came is of no use. */
  readonly archive: AsyncGenerator<Buffer, void, undefined>;
}

/**
 * An image's merged root file system as one tar, as {@link unpackImage} would leave it as root: without mounts, snapshots or
 * privileges. When it resolves, all layers are verified.
 * Errors: those of reading the image, and of `exportTree`, the latter while the archive is read too.
 */
export async function exportImage(options: ExportImageOptions): Promise<ExportImageResult> {
  const { content, target, platform, limits = {}, inflate, signal, onEvent } = options;
  throwIfAborted(signal);
  const image = await loadImage(content, target, platform);
  requireUnpackable(image.layers, unpackLimits(limits));
  const layers = image.layers.map(({ descriptor, diffId }) => {
    return { descriptor, diffId, open: (): Promise<Readable> => content.open(descriptor) };
  });
  const archive = await exportTree(layers, { limits, inflate, signal, onEvent });
  return { ...resultOf(image), archive };
}
