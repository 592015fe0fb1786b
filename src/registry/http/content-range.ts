/** A `Content-Range` of bytes (RFC 9110, 14.4). `end` is the last byte's offset; the total may be unknown. */
export interface ContentRange {
  readonly start: number;
  readonly end: number;
  readonly total?: number;
}

/** Undefined where the header is absent, or not a range of bytes. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const match = /^\s*bytes\s+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)\s*$/i.exec(header ?? '');
  if (match === null) return undefined;
  const [, start, end, total] = match;
  const range = { start: Number(start), end: Number(end) };
  if (range.end < range.start) return undefined;
  return total === '*' ? range : { ...range, total: Number(total) };
}
