import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { LIMITS, parseJson } from '../../src/spec/index.js';
import { documentOf, refusalOf } from './refusal.js';

const parse = (document: string | Uint8Array, maxBytes = 10_000): unknown =>
  parseJson(typeof document === 'string' ? documentOf(document) : document, 'manifest', maxBytes);

describe('JSON is refused', () => {
  it.each([
    ['empty', '', /not JSON/],
    ['cut short', '{"a":', /not JSON/],
    ['followed by something', '{} {}', /not JSON/],
    ['with a trailing comma', '{"a":1,}', /not JSON/],
    ['with a comment', '{} // x', /not JSON/],
    ['with NaN', '{"a":NaN}', /not JSON/],
    ['with a byte order mark', '\ufeff{}', /not JSON/],
    ['a web page', '<!doctype html><p>a: b', /not JSON/],
    ['with a key twice', '{"a":1,"a":2}', /same key twice/],
    ['with a key twice, deep down', '[{"a":[{"b":1,"c":{},"b":1}]}]', /same key twice/],
    ['with a key twice, once escaped', String.raw`{"a":1,"\u0061":2}`, /same key twice/],
    ['with __proto__ twice', '{"__proto__":1,"__proto__":2}', /same key twice/],
  ])('%s', (_, document, message) => {
    const refusal = refusalOf(() => parse(document));
    expect(refusal.code).toBe('INVALID_MANIFEST');
    expect(refusal.message).toMatch(message);
    expect(refusal.message).toContain('manifest');
  });

  it.each([
    ['a byte that never occurs', [0x22, 0xff, 0x22]],
    ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22]],
    ['half of a surrogate pair', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['a character cut short', [0x22, 0xe2, 0x82]],
  ])('that is not UTF-8: %s', (_, bytes) => {
    const refusal = refusalOf(() => parse(Uint8Array.from(bytes)));
    expect(refusal.code).toBe('INVALID_MANIFEST');
    expect(refusal.message).toContain('not UTF-8');
  });

  it('beyond the limit of bytes, before anything reads it', () => {
    expect(parse('"12345678"', 10)).toBe('12345678');
    const refusal = refusalOf(() => parse('"123456789"', 10));
    expect(refusal.code).toBe('LIMIT_EXCEEDED');
    expect(refusal.details).toEqual({ actual: 11, limit: 10 });
  });

  it('beyond the limit of depth', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    expect(parse(nested(LIMITS.jsonDepth))).toBeInstanceOf(Array);
    expect(refusalOf(() => parse(nested(LIMITS.jsonDepth + 1))).code).toBe('LIMIT_EXCEEDED');
    expect(refusalOf(() => parse('{"a":'.repeat(65) + '1' + '}'.repeat(65))).code).toBe('LIMIT_EXCEEDED');
    expect(refusalOf(() => parse('['.repeat(1_000_000), 2_000_000)).code).toBe('LIMIT_EXCEEDED');
  });
});

describe('JSON is taken', () => {
  it.each([
    ['with punctuation in strings', String.raw`{"a:[{\"":"}:]\\","b":[":"]}`, { 'a:[{"': '}:]\\', b: [':'] }],
    ['with a quote in a key', String.raw`{"a\"":1}`, { 'a"': 1 }],
    [
      'with the same key in two objects',
      '{"a":{"a":1},"b":[{"a":1},{"a":2}]}',
      { a: { a: 1 }, b: [{ a: 1 }, { a: 2 }] },
    ],
    ['with keys that differ in case', '{"a":1,"A":2}', { a: 1, A: 2 }],
    ['with names that every object has', '{"constructor":1,"toString":2}', { constructor: 1, toString: 2 }],
    ['wide', `[${'[],'.repeat(999)}[]]`, Array.from({ length: 1000 }, () => [])],
    ['of one value', ' null ', null],
  ])('%s', (_, document, value) => {
    expect(parse(document)).toEqual(value);
  });

  it('as JSON.parse would, whatever the value', () => {
    fc.assert(
      fc.property(fc.json({ stringUnit: 'binary' }), (document) => {
        fc.pre(!document.includes('__proto__'));
        expect(parse(document)).toEqual(JSON.parse(document));
      }),
    );
  });
});

describe('a __proto__ key', () => {
  const hostile =
    '{"__proto__":{"polluted":1},"a":{"__proto__":{"polluted":1},"b":1},"l":[{"__proto__":[]}]}';

  it('is dropped, and gives nothing a prototype', () => {
    const value = parse(hostile) as { a: object; l: object[] };
    expect(value).toEqual({ a: { b: 1 }, l: [{}] });
    for (const object of [value, value.a, value.l[0], {}]) {
      expect(Object.getPrototypeOf(object)).toBe(Object.prototype);
      expect(object).not.toHaveProperty('polluted');
    }
  });

  it('cannot pass by an escape', () => {
    expect(Object.keys(parse(String.raw`{"\u005f_proto__":{"polluted":1}}`) as object)).toEqual([]);
  });
});
