import { InvalidArgumentError } from 'commander';
import type { UnpackLimit, UnpackLimits } from '../spec/index.js';

/** As they are written on the command line. */
const NAMES: Readonly<Record<UnpackLimit, string>> = {
  layers: 'layers',
  imageBytes: 'image-bytes',
  layerBytes: 'layer-bytes',
  entriesPerLayer: 'entries-per-layer',
  notedBytes: 'noted-bytes',
  compressionRatio: 'compression-ratio',
  pathBytes: 'path-bytes',
  pathDepth: 'path-depth',
  linkBytes: 'link-bytes',
  paxBytes: 'pax-bytes',
  xattrBytes: 'xattr-bytes',
  indexBytes: 'index-bytes',
};

export const LIMITS_BY_NAME: ReadonlyMap<string, UnpackLimit> = new Map(
  Object.entries(NAMES).map(([limit, name]) => [name, limit as UnpackLimit]),
);

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** For help texts. */
export const UNPACK_LIMIT_NAMES: readonly string[] = Object.values(NAMES);

/** `NAME=VALUE` of one limit, added to those that came before; the later of two of one name counts. */
export function collectLimit(text: string, before: Partial<UnpackLimits> = {}): Partial<UnpackLimits> {
  const [, name = '', digits = '', unit = ''] = /^([a-z-]+)=(\d{1,12})([KMGT]?)$/i.exec(text) ?? [];
  const limit = LIMITS_BY_NAME.get(name);
  const value = Number(digits) * (UNITS[unit.toUpperCase()] ?? 0);
  if (limit === undefined) {
    throw new InvalidArgumentError(
      `Write NAME=NUMBER, with one of the names ${UNPACK_LIMIT_NAMES.join(', ')}.`,
    );
  }
  if (value < 1 || !Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('It is not a positive whole number, such as 1000 or 20G.');
  }
  return { ...before, [limit]: value };
}
