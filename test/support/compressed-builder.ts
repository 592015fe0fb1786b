import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { Compressor, compress } from 'zstd-napi';

/*
 * Builds gzip members and zstd frames part by part, and the two layouts of layers that can be fetched in part: they are
 * ordinary layers to who does not know them.
 */

export interface GzipFields {
  readonly extra?: Buffer;
  readonly name?: string;
  readonly comment?: string;
  /** With a checksum of the header. */
  readonly headerChecksum?: 'right' | 'wrong';
  /** More bits of FLG. */
  readonly flags?: number;
}

/** One gzip member (RFC 1952 section 2.3). */
export function gzipMember(content: Buffer, fields: GzipFields = {}): Buffer {
  const { extra, name, comment, headerChecksum } = fields;
  const flags =
    (fields.flags ?? 0) |
    (headerChecksum === undefined ? 0 : 2) |
    (extra === undefined ? 0 : 4) |
    (name === undefined ? 0 : 8) |
    (comment === undefined ? 0 : 16);
  const head = Buffer.concat([
    Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3]),
    ...(extra === undefined ? [] : [uint16(extra.length), extra]),
    ...[name, comment].flatMap((text) => (text === undefined ? [] : [Buffer.from(`${text}\0`, 'latin1')])),
  ]);
  const sum = (crc32(head) & 0xffff) ^ (headerChecksum === 'wrong' ? 1 : 0);
  const check = headerChecksum === undefined ? [] : [uint16(sum)];
  return Buffer.concat([
    head,
    ...check,
    deflateRawSync(content),
    uint32(crc32(content)),
    uint32(content.length),
  ]);
}

/**
 * Frames whose content is not part of what is compressed (RFC 8878 section 3.1.2). `magic` is the last of its
 * 16 values' digits.
 */
export function skippableFrame(content: Buffer | string, magic = 0): Buffer {
  const bytes = Buffer.from(content as string, 'latin1');
  return Buffer.concat([uint32(0x184d2a50 + magic), uint32(bytes.length), bytes]);
}

export interface FrameOptions {
  readonly checksum?: boolean;
  /** Whether the frame says how long its content is. Default true. */
  readonly contentSize?: boolean;
}

/** One zstd frame (RFC 8878 section 3.1.1). */
export function zstdFrame(content: Buffer, o: FrameOptions = {}): Buffer {
  const compressor = new Compressor();
  compressor.setParameters({ checksumFlag: o.checksum ?? false, contentSizeFlag: o.contentSize ?? true });
  return compressor.compress(content);
}

/**
 * eStargz (stargz-snapshotter: eStargz): each part of the archive is a gzip member of its own, the index is
 * the last entry, and a footer of 51 bytes, an empty member, tells where it is.
 *
 * @param parts - of an archive, without its end
 * @param index - the entry `stargz.index.json`, with the archive's end
 */
export function eStargz(parts: readonly Buffer[], index: Buffer): Buffer {
  const members = Buffer.concat(parts.map((part) => gzipSync(part)));
  return Buffer.concat([members, gzipSync(index), eStargzFooter(members.length)]);
}

function eStargzFooter(indexOffset: number): Buffer {
  const payload = Buffer.from(`${indexOffset.toString(16).padStart(16, '0')}STARGZ`, 'latin1');
  const extra = Buffer.concat([Buffer.from('SG', 'latin1'), uint16(payload.length), payload]);
  const header = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff]);
  // A stored block without content, then its checksum and length.
  const empty = Buffer.from([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, uint16(extra.length), extra, empty]);
}

/**
 * zstd:chunked (containers/storage): each part of the archive is a zstd frame of its own, then come the
 * index, the headers for putting the archive together again, and a footer, as skippable frames.
 */
export function zstdChunked(parts: readonly Buffer[]): Buffer {
  const frames = Buffer.concat(parts.map((part) => zstdFrame(part)));
  const index = compress(Buffer.from('{"version":1,"entries":[]}'));
  const footer = Buffer.alloc(64);
  for (const [i, value] of [
    frames.length + 8,
    index.length,
    26,
    1,
    frames.length + 16 + index.length,
    0,
    0,
  ].entries()) {
    footer.writeBigUInt64LE(BigInt(value), i * 8);
  }
  footer.write('GNUlInUx', 56, 'latin1');
  return Buffer.concat([frames, skippableFrame(index), skippableFrame(''), skippableFrame(footer)]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
