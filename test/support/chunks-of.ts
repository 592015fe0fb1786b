/** Chunks as the blob reader gives them: in memory that is used again for the next. */
export async function* chunksOf(bytes: Buffer, chunkBytes: number): AsyncGenerator<Buffer> {
  const memory = Buffer.alloc(Math.min(chunkBytes, bytes.length));
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    await Promise.resolve();
    const length = bytes.copy(memory, 0, at, at + chunkBytes);
    yield memory.subarray(0, length);
    memory.fill(0xaa);
  }
}
