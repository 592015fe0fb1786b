import { createResolver, openat2Available, type Resolver } from '../../src/system/index.js';
import type { LayerChanges } from '../../src/unpack/terms/layer-changes.js';
import { LayerWriter } from '../../src/unpack/layer/layer-writer.js';
import { CALLERS, PRESERVED } from '../../src/unpack/terms/ownership.js';
import { TarReader } from '../../src/unpack/tar/tar-reader.js';
import { type Chunking, chunksOf } from './chunking.js';
import type { Random } from './random.js';

export interface ExtractedLayer {
  readonly changes: LayerChanges;
  readonly warnings: readonly string[];
  readonly omitted: readonly unknown[];
}

/** How a layer is extracted, which must make no difference to what comes of it. */
export interface ExtractionWay {
  readonly resolver: Resolver;
  readonly chunking: Chunking;
}

export type Extract = (
  archive: Buffer,
  directory: string,
  way: ExtractionWay,
  random: Random,
) => ExtractedLayer;

const PORTABLE = createResolver({ openat2: false });

/** All that this machine has. */
export const RESOLVERS: readonly Resolver[] = openat2Available()
  ? [createResolver({ openat2: true }), PORTABLE]
  : [PORTABLE];

export const PLAINLY: ExtractionWay = {
  resolver: RESOLVERS[0] ?? PORTABLE,
  chunking: 'whole',
};

/** The reader and the writer together, as worker threads have them. */
export const extractLayer: Extract = (archive, directory, way, random) => {
  const writer = new LayerWriter(directory, {
    resolver: way.resolver,
    ownership: process.geteuid?.() === 0 ? PRESERVED : CALLERS,
    devices: true,
  });
  try {
    const reader = new TarReader(writer);
    for (const chunk of chunksOf(archive, way.chunking, random)) reader.push(chunk);
    reader.end();
    const changes = writer.finish();
    return { changes, warnings: writer.warnings, omitted: writer.omitted };
  } finally {
    writer.close();
  }
};
