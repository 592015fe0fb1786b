/**
 * A file name or path as the kernel has it: each char code is one byte (latin1). File names are bytes, and
 * a layer may hold any of them, so decoding them as UTF-8 would lose what cannot be decoded.
 * `Buffer.from(path, 'latin1')` gives the bytes.
 */
export type BytePath = string;

/** The UTF-8 bytes of an ordinary string, as a {@link BytePath}. */
export function toBytePath(text: string): BytePath {
  // Nearly all names are ASCII, for which both forms are the same string.
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** For display: bytes that are not UTF-8 come out as U+FFFD. */
export function fromBytePath(path: BytePath): string {
  return isAscii(path) ? path : Buffer.from(path, 'latin1').toString('utf8');
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return false;
  }
  return true;
}
