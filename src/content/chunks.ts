/** How many bytes some chunks have together. */
export function bytesIn(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
}

/** The bytes of chunks, one behind the other, from `start` up to and without `end`; views of them, not copies. */
export function cutChunks(chunks: readonly Uint8Array[], start: number, end: number): readonly Uint8Array[] {
  const cut: Uint8Array[] = [];
  let at = 0;
  for (const chunk of chunks) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, chunk.byteLength);
    at += chunk.byteLength;
    if (from < to) cut.push(to - from === chunk.byteLength ? chunk : chunk.subarray(from, to));
    if (at >= end) break;
  }
  return cut;
}
