import type { BytePath } from '../../system/index.js';
import { badArchive, limitExceeded } from '../archive-error.js';
import type { ExtendedHeaders } from './compose-entry.js';
import { parsePax, type PaxRecords } from './pax.js';
import type { TarHeader } from './tar-header.js';
import { isXattrRecord } from './xattr-records.js';

/**
 * Collects the headers that stand before an entry and tell of it: pax (types `x` and `g`), GNU long name and long link
 * (`L` and `K`). Of two of one type before one entry the last counts.
 */
export class ExtendedHeaderReader implements ExtendedHeaders {
  readonly #global = new Map<BytePath, Buffer>();
  readonly #globalXattrs = new Map<BytePath, Buffer>();
  #globalBytes = 0;
  #pax: PaxRecords | undefined;
  #longName: BytePath | undefined;
  #longLink: BytePath | undefined;
  readonly #maxBytes: number;
  /** The one that is being read. */
  #typeflag = '';
  #bytes: Buffer = Buffer.alloc(0);
  #length = 0;

  /** @param maxBytes - of one header, and of all global records together */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  static isExtended(typeflag: string): boolean {
    return typeflag === 'x' || typeflag === 'g' || typeflag === 'L' || typeflag === 'K';
  }

  get global(): ReadonlyMap<BytePath, Buffer> {
    return this.#global;
  }
  get globalXattrs(): ReadonlyMap<BytePath, Buffer> {
    return this.#globalXattrs;
  }
  get pax(): PaxRecords | undefined {
    return this.#pax;
  }
  get longName(): BytePath | undefined {
    return this.#longName;
  }
  get longLink(): BytePath | undefined {
    return this.#longLink;
  }

  /** Whether there are some for an entry that has not come yet. */
  get pending(): boolean {
    return this.#pax !== undefined || this.#longName !== undefined || this.#longLink !== undefined;
  }

  /** The entry has come: forgets all but the global ones. */
  clear(): void {
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
  }

  /** An extended header begins; its content goes to {@link take}. */
  begin(header: TarHeader): void {
    const { size, typeflag } = header;
    if (size < 0) throw badArchive('an extended header has a negative size');
    if (size > this.#maxBytes) {
      throw limitExceeded(`an extended header has ${size} bytes; the limit is ${this.#maxBytes}`);
    }
    this.#typeflag = typeflag;
    this.#bytes = Buffer.allocUnsafe(size);
    this.#length = 0;
    if (size === 0) this.#end();
  }

  /** Takes what it needs of the chunk from `at` on; returns where the rest begins. */
  take(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#bytes.length - this.#length);
    chunk.copy(this.#bytes, this.#length, at, end);
    this.#length += end - at;
    if (this.isWhole) this.#end();
    return end;
  }

  get isWhole(): boolean {
    return this.#length === this.#bytes.length;
  }

  #end(): void {
    if (this.#typeflag === 'x') this.#pax = parsePax(this.#bytes);
    else if (this.#typeflag === 'g') this.#addGlobal(parsePax(this.#bytes));
    else if (this.#typeflag === 'L') this.#longName = untilNul(this.#bytes);
    else this.#longLink = untilNul(this.#bytes);
  }

  /** Global records add up over the archive, so their sum is bounded too. */
  #addGlobal(records: PaxRecords): void {
    for (const [key, value] of records.values) {
      // All records of extended attributes are gone through for every entry, so the others stand apart.
      const kept = isXattrRecord(key) ? this.#globalXattrs : this.#global;
      this.#globalBytes += value.length - (kept.get(key)?.length ?? -key.length);
      // A view would keep its whole header in memory.
      kept.set(key, Buffer.from(value));
    }
    if (this.#globalBytes > this.#maxBytes) {
      throw limitExceeded(`the global headers have more than ${this.#maxBytes} bytes`);
    }
  }
}

function untilNul(bytes: Buffer): BytePath {
  const nul = bytes.indexOf(0);
  return bytes.toString('latin1', 0, nul < 0 ? bytes.length : nul);
}
