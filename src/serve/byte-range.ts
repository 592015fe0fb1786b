import type { ByteRange } from '../content/index.js';

/** `whole`: answer as if no range had been asked for. */
export type RangeAnswer = 'whole' | 'unsatisfiable' | Required<ByteRange>;

/**
 * What a `Range` header asks of a blob (RFC 9110, 14.2). A header that is malformed, in another unit, or asks for
 * several ranges is answered with the whole, which the RFC allows, so a client has to cope with it anyway. One that ends before
 * it begins cannot be satisfied, whatever the blob is: the RFC leaves it open, and the distribution specification's suite asks for it.
 *
 * @param size the blob's size in bytes
 */
export function readRange(header: string | undefined, size: number): RangeAnswer {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return 'whole';
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { offset: size - length, length };
  }
  const offset = Number(first);
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== '' && Number(last) < offset) return 'unsatisfiable';
  return offset >= size ? 'unsatisfiable' : { offset, length: end - offset + 1 };
}
