import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { digestOf, MEDIA_TYPES } from '../../src/spec/index.js';
import { exportTree, type ReadImageTreeOptions, type StoredLayer } from '../../src/unpack/index.js';

/** A layer of this archive, in memory. */
export function storedLayer(tar: Buffer, change: Partial<StoredLayer> = {}): StoredLayer {
  const blob = gzipSync(tar, { level: 1 });
  return {
    descriptor: { mediaType: MEDIA_TYPES.ociLayerGzip, digest: digestOf(blob), size: blob.length },
    diffId: digestOf(tar),
    open: () => Promise.resolve(Readable.from([blob])),
    ...change,
  };
}

/** The archive that layers are exported as, which are given as theirs, bottom first. */
export async function exported(layers: readonly Buffer[], o: ReadImageTreeOptions = {}): Promise<Buffer> {
  return collected(
    await exportTree(
      layers.map((tar) => storedLayer(tar)),
      o,
    ),
  );
}

export async function collected(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}
