import { describe, expect, it } from 'vitest';

import { countOf, formatAge } from '../../../src/serve/page/html.js';
import { formatSize } from '../../../src/spec/index.js';
import { referrerKind, referrerTagOf } from '../../../src/serve/page/catalogue.js';

describe('what people read', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_999, '1.0 MB'],
    [1.5e9, '1.5 GB'],
    [200e6, '200 MB'],
    [5000e15, '5000 PB'],
  ])('%d bytes are %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });

  it.each([
    ['2026-01-01T00:00:00Z', 'just now'],
    ['2025-12-31T23:59:00Z', '1 minute ago'],
    ['2025-12-31T22:00:00Z', '2 hours ago'],
    ['2025-12-30T00:00:00Z', '2 days ago'],
    ['2025-11-01T00:00:00Z', '2 months ago'],
    ['2020-01-01T00:00:00Z', '6 years ago'],
    ['2026-06-01T00:00:00Z', 'just now'],
  ])('%s is %s', (then, text) => {
    expect(formatAge(new Date(then), new Date('2026-01-01T00:00:00Z'))).toBe(text);
  });

  it('has the right number', () => {
    expect([countOf(1, 'tag'), countOf(2000, 'tag'), countOf(0, 'tag')]).toEqual([
      '1 tag',
      '2,000 tags',
      '0 tags',
    ]);
  });
});

describe('the kind of a referrer', () => {
  it.each([
    ['application/vnd.dev.cosign.artifact.sig.v1+json', 'signature'],
    ['application/vnd.cncf.notary.signature', 'signature'],
    ['application/vnd.dev.sigstore.bundle.v0.3+json', 'signature'],
    ['application/spdx+json', 'SBOM'],
    ['application/vnd.cyclonedx+json', 'SBOM'],
    ['application/vnd.in-toto+json', 'attestation'],
    ['application/vnd.example.thing', 'other'],
  ])('%s is %s', (type, kind) => {
    expect(referrerKind(type)).toBe(kind);
  });

  it.each(['latest', 'sha256-abc.sig', `sha256-${'0'.repeat(64)}`, `sha256-${'0'.repeat(64)}.txt`])(
    'is not told by the tag %s',
    (tag) => {
      expect(referrerTagOf(tag)).toBeUndefined();
    },
  );
});
