import { entry, header, oldSparseMap, padded, pax } from './tar-builder.js';

/*
 * Builds sparse files in each of GNU's formats, byte by byte (GNU tar manual: Storing Sparse Files). The map is given
 * apart from the content, so that the two need not fit.
 */

/** Offset and length of each stretch that has content. */
export type SparseMap = readonly (readonly [offset: number, length: number])[];

/** The old format: four stretches in the header, 21 in each block after it. The file is called `a`. */
export function oldSparse(
  map: SparseMap,
  realSize: number,
  packed: string,
  format: 'gnu' | 'ustar' = 'gnu',
): Buffer {
  const rest = map.slice(4);
  const blocks: Buffer[] = [];
  for (let i = 0; i < rest.length; i += 21) {
    const block = Buffer.alloc(512);
    oldSparseMap(rest.slice(i, i + 21)).copy(block);
    block[504] = i + 21 < rest.length ? 1 : 0;
    blocks.push(block);
  }
  const real = oldSparseMap([[realSize, 0]]).subarray(0, 12);
  const raw = { 386: oldSparseMap(map.slice(0, 4)), 482: rest.length > 0 ? '\x01' : '\0', 483: real };
  const own = header({ path: 'a', typeflag: 'S', format, size: packed.length, raw });
  return Buffer.concat([own, ...blocks, padded(packed)]);
}

/** pax format 0.0: a pair of records for each stretch. The file is called `a`. */
export function sparse00(map: SparseMap, realSize: number, packed: string): Buffer {
  const pairs = map.flatMap(([offset, length]) => [
    ['GNU.sparse.offset', `${offset}`] as const,
    ['GNU.sparse.numbytes', `${length}`] as const,
  ]);
  const head = [
    ['GNU.sparse.size', `${realSize}`],
    ['GNU.sparse.numblocks', `${map.length}`],
  ] as const;
  return Buffer.concat([pax([...head, ...pairs]), entry({ path: 'a' }, packed)]);
}

/** pax format 0.1: the map is one record. The file is called `a`. */
export function sparse01(map: string, realSize: number, packed: string): Buffer {
  const records = {
    'GNU.sparse.size': `${realSize}`,
    'GNU.sparse.numblocks': `${map.split(',').length >> 1}`,
    'GNU.sparse.map': map,
    'GNU.sparse.name': 'a',
  };
  return Buffer.concat([pax(records), entry({ path: 'GNUSparseFile.1/a' }, packed)]);
}

/**
 * pax format 1.0: the map stands before the content. The file is called `a`; more records replace its own.
 */
export function sparse10(
  map: string,
  realSize: number,
  packed: string,
  more: Readonly<Record<string, string>> = {},
): Buffer {
  const content = Buffer.concat([padded(map), Buffer.from(packed)]);
  const records = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 'a',
    'GNU.sparse.realsize': `${realSize}`,
    ...more,
  };
  return Buffer.concat([pax(records), entry({ path: 'GNUSparseFile.1/a' }, content)]);
}
