import { LIMITS } from '../../spec/index.js';
import type { BytePath } from '../../system/index.js';
import { badArchive, limitExceeded } from '../archive-error.js';

const SCHILY = 'SCHILY.xattr.';
const LIBARCHIVE = 'LIBARCHIVE.xattr.';

const NO_XATTRS: ReadonlyMap<BytePath, Buffer> = new Map();

/** Whether a pax record holds an extended attribute. */
export function isXattrRecord(key: BytePath): boolean {
  return key.startsWith(SCHILY) || key.startsWith(LIBARCHIVE);
}

/**
 * The extended attributes that pax records hold; of two of one name the later counts. libarchive writes both forms; star's is
 * the exact one, since its values are the bytes themselves.
 *
 * @param records - of the global headers, and of the entry's own
 * @throws {UnpackError} BAD_ARCHIVE; LIMIT_EXCEEDED for more names than the kernel could list of one file
 */
export function xattrsOf(
  records: readonly (ReadonlyMap<BytePath, Buffer> | undefined)[],
  path: BytePath,
): ReadonlyMap<BytePath, Buffer> {
  let xattrs: Map<BytePath, Buffer> | undefined;
  for (const prefix of [LIBARCHIVE, SCHILY]) {
    for (const some of records) {
      for (const [key, value] of some ?? []) {
        if (!key.startsWith(prefix)) continue;
        xattrs ??= new Map();
        const name = key.slice(prefix.length);
        if (prefix === SCHILY) xattrs.set(xattrName(name, path), value);
        else xattrs.set(xattrName(percentDecoded(name), path), fromBase64(value));
      }
    }
  }
  if (xattrs === undefined) return NO_XATTRS;
  checkList(xattrs, path);
  return xattrs;
}

function xattrName(name: BytePath, path: BytePath): BytePath {
  if (name === '' || name.includes('\0')) {
    throw badArchive('the name of an extended attribute is empty or holds a NUL', path);
  }
  return name;
}

function checkList(xattrs: ReadonlyMap<BytePath, Buffer>, path: BytePath): void {
  let bytes = 0;
  for (const name of xattrs.keys()) bytes += name.length + 1;
  if (bytes <= LIMITS.xattrListBytes) return;
  throw limitExceeded(
    `the names of the extended attributes have ${bytes} bytes; the limit is ${LIMITS.xattrListBytes}`,
    path,
  );
}

function fromBase64(value: Buffer): Buffer {
  return Buffer.from(value.toString('latin1'), 'base64');
}

function percentDecoded(name: BytePath): BytePath {
  return name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}
