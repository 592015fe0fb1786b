/** Everything in a tar archive is a multiple of this many bytes. */
export const BLOCK = 512;

/** Where a header has what (POSIX.1-2001 pax: ustar Interchange Format; GNU tar manual: Basic Tar Format). */
export const FIELDS: Readonly<Record<string, readonly [offset: number, length: number]>> = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  typeflag: [156, 1],
  linkname: [157, 100],
  magic: [257, 8],
  uname: [265, 32],
  gname: [297, 32],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
  sparseMap: [386, 96],
  isExtended: [482, 1],
  realSize: [483, 12],
  starMagic: [508, 4],
};

/**
 * Takes an archive apart into headers with their content, without asking the reader that is being tested: a
 * part that its header does not describe rightly is just some bytes.
 */
export function partsOf(archive: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < archive.length;) {
    const header = archive.subarray(at, at + BLOCK);
    const size = sizeOf(header);
    const end = Math.min(archive.length, at + BLOCK + Math.ceil(size / BLOCK) * BLOCK);
    parts.push(Buffer.from(archive.subarray(at, end)));
    at = end;
  }
  return parts;
}

function sizeOf(header: Buffer): number {
  const digits = /^[0-7]{1,12}/.exec(header.toString('latin1', 124, 136))?.[0] ?? '0';
  const size = parseInt(digits, 8);
  return size > 2 ** 24 ? 0 : size;
}

/** Makes the checksum right again after a change. */
export function repairChecksum(header: Buffer): void {
  if (header.length < BLOCK) return;
  header.fill(' ', 148, 156);
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += header[i] ?? 0;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
}

/** The header of a part with other content, whose size it states. */
export function withContent(part: Buffer, content: Buffer): Buffer {
  const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
  const header = Buffer.from(part.subarray(0, BLOCK));
  if (header.length === BLOCK) {
    header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124, 12, 'latin1');
    repairChecksum(header);
  }
  return Buffer.concat([header, content, padding]);
}

/** A part's content as long as its header says. */
export function contentOf(part: Buffer): Buffer {
  return part.subarray(BLOCK, BLOCK + sizeOf(part));
}
