import { crc32 } from 'node:zlib';

/*
 * Writes deflate data (RFC 1951) code by code, so that it can break each rule by itself. Nothing is compressed.
 */

/** What stands in a block: a literal byte, or a reference back by the symbols that it is written with. */
export type Token =
  | { readonly literal: number }
  | {
      readonly length: number;
      /** Value and number of the bits behind the length's symbol. */
      readonly lengthExtra?: readonly [value: number, bits: number];
      readonly distance: number;
      readonly distanceExtra?: readonly [value: number, bits: number];
    };

export const END_OF_BLOCK: Token = { literal: 256 };

/** Code lengths by symbol; those that are left out have no code. */
export type CodeLengths = Readonly<Record<number, number>>;

/** Literals and lengths, and distances, as blocks of type 1 have them (RFC 1951 section 3.2.6). */
export const FIXED_LITERALS: CodeLengths = Object.fromEntries(
  Array.from({ length: 288 }, (_, symbol) => [
    symbol,
    symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8,
  ]),
);
export const FIXED_DISTANCES: CodeLengths = Object.fromEntries(
  Array.from({ length: 32 }, (_, symbol) => [symbol, 5]),
);

/** The order in which a block's header gives the code lengths of code lengths (RFC 1951 section 3.2.7). */
const LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] as const;
/** A complete code of all 19 symbols. */
const ALL_LENGTHS: CodeLengths = Object.fromEntries(
  LENGTH_ORDER.map((symbol, i) => [symbol, i < 13 ? 4 : 5]),
);

/** A symbol of the code of code lengths, with the bits behind it. */
export interface LengthSymbol {
  readonly symbol: number;
  readonly extra?: readonly [value: number, bits: number];
}

export interface DynamicBlock {
  readonly literals: CodeLengths;
  readonly distances: CodeLengths;
  /**
   * Lengths that are given, from symbol 0 on; HLIT and HDIST by themselves. Default: as many as are needed.
   */
  readonly literalCount?: number;
  readonly distanceCount?: number;
  /** The code of code lengths. Default: one of all 19. */
  readonly lengthCodes?: CodeLengths;
  /** What stands for both code lengths, where that is not simply the one after the other. */
  readonly lengthSymbols?: readonly LengthSymbol[];
  readonly tokens: readonly Token[];
}

export class DeflateBuilder {
  readonly #bits: number[] = [];

  /** A block as its header says; with a NLEN that does not fit where it is given. */
  stored(content: Buffer, o: { final?: boolean; complement?: number } = {}): this {
    this.#number(o.final === true ? 1 : 0, 1).#number(0, 2);
    while (this.#bits.length % 8 !== 0) this.#number(0, 1);
    this.#number(content.length, 16).#number(o.complement ?? ~content.length & 0xffff, 16);
    for (const byte of content) this.#number(byte, 8);
    return this;
  }

  fixed(tokens: readonly Token[], o: { final?: boolean } = {}): this {
    this.#number(o.final === true ? 1 : 0, 1).#number(1, 2);
    return this.#tokens(tokens, FIXED_LITERALS, FIXED_DISTANCES);
  }

  dynamic(block: DynamicBlock, o: { final?: boolean } = {}): this {
    const { literals, distances, tokens, lengthCodes = ALL_LENGTHS } = block;
    const literalCount =
      block.literalCount ?? Math.max(257, ...Object.keys(literals).map((symbol) => Number(symbol) + 1));
    const distanceCount =
      block.distanceCount ?? Math.max(1, ...Object.keys(distances).map((symbol) => Number(symbol) + 1));
    this.#number(o.final === true ? 1 : 0, 1).#number(2, 2);
    this.#number(literalCount - 257, 5)
      .#number(distanceCount - 1, 5)
      .#number(19 - 4, 4);
    for (const symbol of LENGTH_ORDER) this.#number(lengthCodes[symbol] ?? 0, 3);
    const codes = codesOf(lengthCodes);
    const plain: readonly LengthSymbol[] = [
      ...Array.from({ length: literalCount }, (_, symbol) => ({ symbol: literals[symbol] ?? 0 })),
      ...Array.from({ length: distanceCount }, (_, symbol) => ({ symbol: distances[symbol] ?? 0 })),
    ];
    for (const { symbol, extra } of block.lengthSymbols ?? plain) {
      this.#code(codes, symbol);
      if (extra !== undefined) this.#number(...extra);
    }
    return this.#tokens(tokens, literals, distances);
  }

  /** The block type that there is not. */
  unknown(): this {
    return this.#number(1, 1).#number(3, 2);
  }

  /** @param padding - the bits behind the last block, which mean nothing */
  bytes(padding: 0 | 1 = 0): Buffer {
    const bytes = Buffer.alloc(Math.ceil(this.#bits.length / 8), padding === 1 ? 0xff : 0);
    for (const [i, bit] of this.#bits.entries()) {
      const at = i >> 3;
      const mask = 1 << (i & 7);
      bytes[at] = bit === 1 ? (bytes[at] ?? 0) | mask : (bytes[at] ?? 0) & ~mask;
    }
    return bytes;
  }

  #tokens(tokens: readonly Token[], literals: CodeLengths, distances: CodeLengths): this {
    const literalCodes = codesOf(literals);
    const distanceCodes = codesOf(distances);
    for (const token of tokens) {
      if ('literal' in token) {
        this.#code(literalCodes, token.literal);
        continue;
      }
      this.#code(literalCodes, token.length);
      if (token.lengthExtra !== undefined) this.#number(...token.lengthExtra);
      this.#code(distanceCodes, token.distance);
      if (token.distanceExtra !== undefined) this.#number(...token.distanceExtra);
    }
    return this;
  }

  /** Numbers begin with their lowest bit, codes with their highest (RFC 1951 section 3.1.1). */
  #number(value: number, bits: number): this {
    for (let bit = 0; bit < bits; bit++) this.#bits.push((value >> bit) & 1);
    return this;
  }

  #code(codes: ReadonlyMap<number, readonly [code: number, bits: number]>, symbol: number): void {
    const found = codes.get(symbol);
    if (found === undefined) throw new RangeError(`symbol ${symbol} has no code`);
    const [code, bits] = found;
    for (let bit = bits - 1; bit >= 0; bit--) this.#bits.push((code >> bit) & 1);
  }
}

/**
 * A gzip member around deflate data, with the trailer of its content, so that nothing but the data can be
 * wrong.
 */
export function memberOf(deflated: Buffer, content: Buffer): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(content), 0);
  trailer.writeUInt32LE(content.length, 4);
  return Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]), deflated, trailer]);
}

export function literals(text: string): Token[] {
  return [...Buffer.from(text, 'latin1')].map((literal) => ({ literal }));
}

/** RFC 1951 section 3.2.2. */
function codesOf(lengths: CodeLengths): ReadonlyMap<number, readonly [code: number, bits: number]> {
  const codes = new Map<number, readonly [code: number, bits: number]>();
  let code = 0;
  for (let bits = 1; bits <= 15; bits++) {
    for (const [symbol, length] of Object.entries(lengths)) {
      if (length === bits) codes.set(Number(symbol), [code++, bits]);
    }
    code <<= 1;
  }
  return codes;
}
