import { describe, expect, it } from 'vitest';

import { LIMITS, parseDescriptor } from '../../src/spec/index.js';
import { refusalOf } from './refusal.js';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const PLAIN = { mediaType: 'application/x', digest: DIGEST, size: 7 };

describe('a descriptor is parsed', () => {
  it.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['plain', {}, {}],
    ['empty', { size: 0 }, { size: 0 }],
    ['of the largest size that can be told apart', { size: 2 ** 53 - 1 }, { size: 2 ** 53 - 1 }],
    ['with annotations', { annotations: { a: 'b', c: '' } }, { annotations: { a: 'b', c: '' } }],
    ['with null annotations', { annotations: null }, {}],
    ['with URLs', { urls: ['https://a/b'] }, { urls: ['https://a/b'] }],
    ['with null URLs', { urls: null }, {}],
    ['with data', { data: 'e30=' }, { data: 'e30=' }],
    ['with an artifact type', { artifactType: 'a/b' }, { artifactType: 'a/b' }],
    [
      'with a platform',
      { platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
      { platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
    ],
    ['with a null platform', { platform: null }, {}],
    ['with unknown fields', { novel: { deep: [1, null] } }, { novel: { deep: [1, null] } }],
    ['with an algorithm that cannot be verified', { digest: 'blake3:af' }, { digest: 'blake3:af' }],
    ['of an unknown media type', { mediaType: 'novel/type' }, { mediaType: 'novel/type' }],
  ])('%s', (_, fields, expected) => {
    const value = { ...PLAIN, ...fields };
    const before = JSON.stringify(value);
    expect(parseDescriptor(value, 'config')).toStrictEqual({ ...PLAIN, ...expected });
    expect(JSON.stringify(value)).toBe(before);
  });
});

describe('a descriptor is refused', () => {
  it.each<[string, unknown, string, string]>([
    ['null', null, 'INVALID_MANIFEST', 'layers[3] must be an object'],
    ['a list', [], 'INVALID_MANIFEST', 'layers[3] must be an object'],
    ['a string', DIGEST, 'INVALID_MANIFEST', 'layers[3] must be an object'],
    [
      'without a media type',
      { ...PLAIN, mediaType: undefined },
      'INVALID_MANIFEST',
      'layers[3].mediaType is missing',
    ],
    [
      'with an empty media type',
      { ...PLAIN, mediaType: '' },
      'INVALID_MANIFEST',
      'layers[3].mediaType is missing',
    ],
    [
      'with a number for a media type',
      { ...PLAIN, mediaType: 7 },
      'INVALID_MANIFEST',
      'layers[3].mediaType must be a string',
    ],
    ['without a digest', { ...PLAIN, digest: undefined }, 'INVALID_MANIFEST', 'layers[3].digest is missing'],
    ['with a null digest', { ...PLAIN, digest: null }, 'INVALID_MANIFEST', 'layers[3].digest is missing'],
    [
      'with a number for a digest',
      { ...PLAIN, digest: 7 },
      'INVALID_MANIFEST',
      'layers[3].digest must be a string',
    ],
    [
      'with a digest that is none',
      { ...PLAIN, digest: 'sha256:../../x' },
      'INVALID_DIGEST',
      'layers[3].digest: invalid digest',
    ],
    ['without a size', { ...PLAIN, size: undefined }, 'INVALID_MANIFEST', 'layers[3].size is missing'],
    ['with a null size', { ...PLAIN, size: null }, 'INVALID_MANIFEST', 'layers[3].size is missing'],
    [
      'with a negative size',
      { ...PLAIN, size: -1 },
      'INVALID_MANIFEST',
      'layers[3].size must be a whole number',
    ],
    [
      'with a fractional size',
      { ...PLAIN, size: 1.5 },
      'INVALID_MANIFEST',
      'layers[3].size must be a whole number',
    ],
    [
      'with a size of 2^53',
      { ...PLAIN, size: 2 ** 53 },
      'INVALID_MANIFEST',
      'layers[3].size must be a whole number',
    ],
    [
      'with an infinite size',
      { ...PLAIN, size: Infinity },
      'INVALID_MANIFEST',
      'layers[3].size must be a whole number',
    ],
    [
      'with a string for a size',
      { ...PLAIN, size: '7' },
      'INVALID_MANIFEST',
      'layers[3].size must be a whole number',
    ],
    [
      'with annotations that are a list',
      { ...PLAIN, annotations: [] },
      'INVALID_MANIFEST',
      'layers[3].annotations must be an object',
    ],
    [
      'with an annotation that is a number',
      { ...PLAIN, annotations: { a: 7 } },
      'INVALID_MANIFEST',
      'layers[3].annotations["a"] must be a string',
    ],
    [
      'with an annotation that is null',
      { ...PLAIN, annotations: { a: null } },
      'INVALID_MANIFEST',
      'layers[3].annotations["a"] must be a string',
    ],
    [
      'with URLs that are a string',
      { ...PLAIN, urls: 'x' },
      'INVALID_MANIFEST',
      'layers[3].urls must be a list',
    ],
    [
      'with a URL that is a number',
      { ...PLAIN, urls: ['x', 7] },
      'INVALID_MANIFEST',
      'layers[3].urls[1] must be a string',
    ],
    [
      'with data that is an object',
      { ...PLAIN, data: {} },
      'INVALID_MANIFEST',
      'layers[3].data must be a string',
    ],
    [
      'with a platform that is a string',
      { ...PLAIN, platform: 'linux' },
      'INVALID_MANIFEST',
      'layers[3].platform must be an object',
    ],
    [
      'with a field in two cases',
      { ...PLAIN, Digest: DIGEST },
      'INVALID_MANIFEST',
      'layers[3].digest stands twice',
    ],
    [
      'with too many URLs',
      { ...PLAIN, urls: Array.from({ length: LIMITS.listItems + 1 }, () => 'x') },
      'LIMIT_EXCEEDED',
      'layers[3].urls has 10001 entries',
    ],
    [
      'with too many annotations',
      {
        ...PLAIN,
        annotations: Object.fromEntries(Array.from({ length: LIMITS.annotations + 1 }, (__, at) => [at, ''])),
      },
      'LIMIT_EXCEEDED',
      'layers[3].annotations has 10001 entries',
    ],
  ])('%s', (_, value, code, message) => {
    const refusal = refusalOf(() => parseDescriptor(value, 'layers[3]'));
    expect(refusal.code).toBe(code);
    expect(refusal.message).toContain(message);
  });
});

it('an annotation named __proto__ gives nothing a prototype', () => {
  const annotations: unknown = JSON.parse('{"__proto__":"x","a":"b"}');
  const parsed = parseDescriptor({ ...PLAIN, annotations }, '');
  expect(Object.getPrototypeOf(parsed.annotations)).toBe(Object.prototype);
  expect(parsed.annotations?.['a']).toBe('b');
});
