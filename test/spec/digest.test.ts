import { createHash } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  algorithmOf,
  createDigester,
  Digester,
  digestOf,
  encodedOf,
  isDigest,
  isVerifiable,
  parseDigest,
  shortDigest,
} from '../../src/spec/index.js';
import { refusalOf } from './refusal.js';

const EMPTY_SHA256 = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const EMPTY_SHA512 =
  'sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e';

describe('a digest is parsed', () => {
  it.each([
    ['sha256', EMPTY_SHA256, true],
    ['sha512', EMPTY_SHA512, true],
    ['an unregistered algorithm', 'blake3:af1349b9', false],
    [
      'an algorithm of several components',
      'multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8',
      false,
    ],
    [
      'an encoding that is not hexadecimal',
      'sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=',
      false,
    ],
  ])('%s', (_, text, verifiable) => {
    const digest = parseDigest(text);
    expect(digest).toBe(text);
    expect(isDigest(text)).toBe(true);
    expect(isVerifiable(digest)).toBe(verifiable);
    expect(`${algorithmOf(digest)}:${encodedOf(digest)}`).toBe(text);
  });
});

describe('a digest is refused', () => {
  it.each([
    ['empty', ''],
    ['without a colon', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['without an algorithm', `:${'a'.repeat(64)}`],
    ['without an encoded part', 'sha256:'],
    ['of 63 digits', `sha256:${'a'.repeat(63)}`],
    ['of 65 digits', `sha256:${'a'.repeat(65)}`],
    ['of sha512 with the length of sha256', `sha512:${'a'.repeat(64)}`],
    ['of upper-case digits', `sha256:${'A'.repeat(64)}`],
    ['of letters that are no digits', `sha256:${'g'.repeat(64)}`],
    ['of an upper-case algorithm', `SHA256:${'a'.repeat(64)}`],
    ['with two colons', 'a:b:c'],
    ['with a path', 'x:../../etc/passwd'],
    ['with a path in the algorithm', '../x:aa'],
    ['with a dot for an algorithm', '.:aa'],
    ['with a newline at its end', `${EMPTY_SHA256}\n`],
    ['with a space before it', ` ${EMPTY_SHA256}`],
    ['too long for a file name', `x:${'a'.repeat(300)}`],
    ['named as an inherited property', 'constructor:'],
  ])('%s', (_, text) => {
    const refusal = refusalOf(() => parseDigest(text));
    expect(refusal.code).toBe('INVALID_DIGEST');
    expect(refusal.hint).toContain('sha256:');
    expect(isDigest(text)).toBe(false);
  });

  it('which is no text at all', () => {
    for (const value of [undefined, null, 7, {}, [EMPTY_SHA256]]) expect(isDigest(value)).toBe(false);
  });

  it('and a name that every object has is not taken for an algorithm that can be verified', () => {
    const digest = parseDigest('constructor:aa');
    expect(isVerifiable(digest)).toBe(false);
    expect(refusalOf(() => createDigester(digest)).code).toBe('INVALID_DIGEST');
  });
});

describe('a digester', () => {
  it.each([
    ['sha256', EMPTY_SHA256],
    ['sha512', EMPTY_SHA512],
  ] as const)('knows the %s of nothing', (algorithm, expected) => {
    expect(createDigester(algorithm).digest()).toBe(expected);
    expect(createDigester(parseDigest(expected)).digest()).toBe(expected);
    expect(new Digester(algorithm).digest()).toBe(expected);
    expect(digestOf(new Uint8Array(), algorithm)).toBe(expected);
  });

  it('is sha256 unless told otherwise', () => {
    expect(digestOf(new Uint8Array())).toBe(EMPTY_SHA256);
  });

  it('gives its digest once', () => {
    const digester = createDigester('sha256');
    digester.digest();
    expect(() => digester.digest()).toThrow();
  });

  it('is refused, with a hint, for an algorithm that cannot be verified', () => {
    const refusal = refusalOf(() => createDigester(parseDigest('blake3:af1349b9')));
    expect(refusal.code).toBe('INVALID_DIGEST');
    expect(refusal.hint).toBeDefined();
  });

  it('does not depend on how the bytes are cut into chunks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 64 })),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        (chunks, algorithm) => {
          const digester = createDigester(algorithm);
          for (const chunk of chunks) digester.update(chunk);
          const digest = digester.digest();
          expect(digest).toBe(digestOf(Buffer.concat(chunks), algorithm));
          expect(encodedOf(digest)).toBe(createHash(algorithm).update(Buffer.concat(chunks)).digest('hex'));
          expect(parseDigest(digest)).toBe(digest);
        },
      ),
    );
  });
});

it('a short digest is the first digits, twelve unless told otherwise', () => {
  expect(shortDigest(parseDigest(EMPTY_SHA256))).toBe('e3b0c44298fc');
  expect(shortDigest(parseDigest(EMPTY_SHA256), 7)).toBe('e3b0c44');
});

describe('whatever the text', () => {
  const component = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  const wellFormed = fc
    .tuple(component, fc.array(fc.tuple(fc.constantFrom('+', '.', '_', '-'), component), { maxLength: 3 }))
    .map(([first, rest]) => first + rest.flat().join(''))
    .filter((algorithm) => algorithm !== 'sha256' && algorithm !== 'sha512')
    .chain((algorithm) =>
      fc.stringMatching(/^[a-zA-Z0-9=_-]{1,60}$/).map((encoded) => `${algorithm}:${encoded}`),
    );

  it('every well-formed digest of another algorithm parses, and cannot be verified', () => {
    fc.assert(fc.property(wellFormed, (text) => !isVerifiable(parseDigest(text))));
  });

  it('isDigest agrees with parseDigest, and what parses is fit for a file name', () => {
    const nearly = fc
      .tuple(wellFormed, fc.string({ unit: 'binary', maxLength: 2 }), fc.nat(20))
      .map(([text, noise, at]) => text.slice(0, at) + noise + text.slice(at));
    fc.assert(
      fc.property(fc.oneof(nearly, fc.string()), (text) => {
        if (isDigest(text)) {
          expect(parseDigest(text)).toBe(text);
          expect(text).not.toMatch(/\/|\0|\.\./);
          expect(Buffer.byteLength(text)).toBeLessThanOrEqual(255);
        } else {
          expect(refusalOf(() => parseDigest(text)).code).toBe('INVALID_DIGEST');
        }
      }),
    );
  });
});
