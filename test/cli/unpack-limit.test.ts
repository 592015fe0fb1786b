import { describe, expect, test } from 'vitest';
import { collectLimit, UNPACK_LIMIT_NAMES } from '../../src/cli/config/settings.js';
import { LIMITS } from '../../src/spec/index.js';

describe('--unpack-limit', () => {
  test.each([
    ['layers=20', { layers: 20 }],
    ['layer-bytes=20G', { layerBytes: 20 * 2 ** 30 }],
    ['image-bytes=1t', { imageBytes: 2 ** 40 }],
    ['pax-bytes=64k', { paxBytes: 65_536 }],
    ['xattr-bytes=1M', { xattrBytes: 2 ** 20 }],
  ])('%s', (text, expected) => {
    expect(collectLimit(text)).toEqual(expected);
  });

  test('adds up, and the later of two counts', () => {
    const limits = ['layers=1', 'path-depth=2', 'layers=3'].reduce(
      (before, text) => collectLimit(text, before),
      {},
    );
    expect(limits).toEqual({ layers: 3, pathDepth: 2 });
  });

  test('every name is that of a limit', () => {
    for (const name of UNPACK_LIMIT_NAMES) {
      const [limit = ''] = Object.keys(collectLimit(`${name}=1`));
      expect(Object.keys(LIMITS)).toContain(limit);
    }
  });

  test.each([
    '',
    'layers',
    'layers=',
    'layers=x',
    'colours=3',
    'layerBytes=3',
    '=3',
    'layers=-1',
    'layers=1e3',
  ])('%s is none', (text) => {
    expect(() => collectLimit(text)).toThrow(/^Write NAME=NUMBER, with one of the names layers, image-bytes/);
  });

  test.each(['layers=0', 'layer-bytes=999999999999T'])('%s is out of range', (text) => {
    expect(() => collectLimit(text)).toThrow(/^It is not a positive whole number/);
  });
});
