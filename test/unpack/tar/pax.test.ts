import { describe, expect, it } from 'vitest';
import { paxTime } from '../../../src/unpack/tar/extended-headers.js';

describe('a time', () => {
  it.each<[string, number, number]>([
    ['9007199254740991', Number.MAX_SAFE_INTEGER, 0],
    ['-9007199254740991', -Number.MAX_SAFE_INTEGER, 0],
    ['9007199254740991.5', Number.MAX_SAFE_INTEGER, 5e8],
    ['-0', 0, 0],
  ])('%s is read', (text, seconds, nanoseconds) => {
    expect(paxTime(Buffer.from(text), 'mtime')).toEqual({ seconds, nanoseconds });
  });

  it.each([
    '9007199254740992',
    '-9007199254740992',
    '-9007199254740991.5',
    '9'.repeat(17),
    '.5',
    '+1',
    '',
    '-',
  ])('%j is none', (text) => {
    expect(() => paxTime(Buffer.from(text), 'mtime')).toThrow(
      expect.objectContaining({ code: 'BAD_ARCHIVE' }),
    );
  });
});
