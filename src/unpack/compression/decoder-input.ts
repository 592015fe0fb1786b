/** What a decoder has not used yet of a source's chunks. */
export class DecoderInput {
  bytes: Buffer = Buffer.alloc(0);
  readonly #source: AsyncIterator<Buffer>;

  constructor(source: AsyncIterator<Buffer>) {
    this.#source = source;
  }

  /** Whether there are so many bytes; asks for more chunks if need be. */
  async has(count: number): Promise<boolean> {
    while (this.bytes.length < count) {
      // The source may use the memory again.
      const held = Buffer.from(this.bytes);
      const next = await this.#source.next();
      this.bytes = held;
      if (next.done === true) return false;
      this.bytes = held.length === 0 ? next.value : Buffer.concat([held, next.value]);
    }
    return true;
  }

  /** Lets go of the first bytes. */
  drop(count: number): void {
    this.bytes = this.bytes.subarray(count);
  }
}
