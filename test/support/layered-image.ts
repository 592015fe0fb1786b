import { makeTinyLayout, type TinyEntry, type TinyLayout } from './tiny-image.js';
import { randomBytes } from 'node:crypto';

/**
 * A layout whose image has so many layers, each of one directory with files of bytes that do not compress, so
 * that a pull of it takes a moment.
 */
export function makeLayeredLayout(
  directory: string,
  o: {
    layers: number;
    files: number;
    fileBytes: number;
    tag?: string;
    shared?: readonly (readonly TinyEntry[])[];
  },
): Promise<TinyLayout> {
  const own = Array.from({ length: o.layers }, (_, layer): TinyEntry[] => [
    { path: `layer-${layer}/` },
    ...Array.from({ length: o.files }, (_file, file) => ({
      path: `layer-${layer}/file-${file}`,
      content: randomBytes(o.fileBytes),
    })),
  ]);
  return makeTinyLayout(directory, { tag: o.tag ?? 'latest', layers: [...(o.shared ?? []), ...own] });
}
