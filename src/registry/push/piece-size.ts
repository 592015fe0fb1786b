/** What one request carries, once it has been seen that the whole does not get through in one. */
export const CHUNK_BYTES: number = 16 * 1024 * 1024;
/** Tried at the least where even chunks are too large: what nginx takes when nobody has told it otherwise. */
const LEAST_CHUNK_BYTES = 1024 * 1024;

/**
 * How much of a blob goes in one request: all that is left, until something speaks against it. There are registries that
 * take no chunks, proxies that take no long bodies, and networks over which long bodies do not come through.
 */
export class PieceSize {
  #bytes = Infinity;
  #whole = false;

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether an upload may be put together from several requests. */
  get mayBreakUp(): boolean {
    return !this.#whole;
  }

  /** The end of the piece that begins at `start`. @param least the registry's own lower bound */
  end(start: number, size: number, least: number): number {
    return Math.min(size, start + Math.max(this.#bytes, least));
  }

  /** After a break that lost all: so that the next one loses no more than a chunk. */
  breakUp(): void {
    if (!this.#whole) this.#bytes = Math.min(this.#bytes, CHUNK_BYTES);
  }

  /** After a body was too large. False where smaller ones make no sense. */
  shrink(sent: number, least: number): boolean {
    const bytes = sent > CHUNK_BYTES ? CHUNK_BYTES : Math.max(LEAST_CHUNK_BYTES, Math.ceil(sent / 4));
    if (this.#whole || bytes >= sent || bytes < least) return false;
    this.#bytes = bytes;
    return true;
  }

  /** After a registry has taken chunks without putting them together. */
  keepWhole(): void {
    this.#whole = true;
    this.#bytes = Infinity;
  }
}
