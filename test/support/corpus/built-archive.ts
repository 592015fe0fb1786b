import { oldSparse, type SparseMap } from '../sparse-builder.js';
import { archive, device, directory, entry, fifo, file, gnuLong, hardLink, symlink } from '../tar-builder.js';

const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
const LONG = `long/${'d'.repeat(200)}/${'f'.repeat(255)}`;
const ODD = 'odd \xff\xfe\n\t\\';
const MAP: SparseMap = [...Array.from({ length: 30 }, (_, i) => [i * 8192, 512] as const), [262_144, 0]];

/** Every kind of header in one archive, which no single program writes. */
export function builtArchive(): Buffer {
  return archive(
    directory('./', { mode: 0o755, pax: { mtime: '1111111111.25' } }),
    // Headers.
    entry({ path: 'v7', typeflag: '\0', format: 'v7' }, 'old'),
    entry({ path: 'v7-directory/', typeflag: '\0', format: 'v7', mode: 0o755 }),
    directory('prefix/', { mode: 0o711 }),
    entry({ path: 'n'.repeat(100), prefix: 'prefix' }, 'ustar'),
    entry({ path: 'star', prefix: 'prefix', raw: { 476: '00000000017\0', 508: 'tar\0' } }, 'star'),
    entry({ path: 'gnu', format: 'gnu', uid: 3_000_000_000, gid: 2_097_152, mtime: -5 }, 'gnu'),
    entry({ path: 'spaces', raw: { 100: '   640 \0', 108: '     7 \0', 116: '     6  ' } }),
    entry({ path: '\xe9-signed', checksum: 'signed' }),
    // Names.
    directory('long/', { mode: 0o755 }),
    directory(`long/${'d'.repeat(200)}/`, { mode: 0o755 }),
    file(LONG, 'long'),
    gnuLong('L', `${LONG.slice(0, -1)}g`),
    entry({ path: 'x', format: 'gnu' }, 'GNU'),
    gnuLong('K', 't'.repeat(300)),
    entry({ path: 'gnu-link', typeflag: '2', format: 'gnu', linkPath: 't'.repeat(100) }),
    file(ODD, 'odd', { pax: { path: ODD, hdrcharset: 'BINARY' } }),
    symlink('pax-link', 't'.repeat(1000)),
    hardLink('hard', LONG),
    hardLink('hard-to-link', 'pax-link'),
    // Types and attributes.
    device('c', 'character', 4, 64, { mode: 0o620, uid: 5, gid: 6 }),
    device('b', 'block', 259, 262_143, { mode: 0o660 }),
    fifo('fifo', { mode: 0o4777 }),
    file('setuid', 'x', {
      mode: 0o6755,
      uid: 1000,
      gid: 1000,
      xattrs: { 'security.capability': CAPABILITY },
    }),
    file('bytes', 'x', { xattrs: { 'user.bytes': Buffer.from([0, 255, 10, 61]), 'user.text': 'text' } }),
    directory('sticky/', { mode: 0o1777, xattrs: { 'trusted.key': 'value' } }),
    file('time', 'x', { pax: { mtime: '1700000000.123456789', atime: '5', ctime: '6', 'VENDOR.x': 'y' } }),
    file('pax-numbers', 'xyz', { size: 0, pax: { size: '3', uid: '4000000000', gid: '12' } }),
    // Content.
    file('empty'),
    file('block', 'x'.repeat(512)),
    oldSparse(MAP, 262_144, 'x'.repeat(30 * 512)),
  );
}
