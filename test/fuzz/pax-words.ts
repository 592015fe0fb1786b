import type { BytePath } from '../../src/system/index.js';
import { decimal, path, target, value } from './nasty.js';
import type { Random } from './random.js';

/** Keys that mean something to a reader of pax headers, or to the kernel as names of extended attributes. */
const NUMBERS = ['size', 'uid', 'gid', 'mtime', 'atime', 'ctime', 'GNU.sparse.size', 'GNU.sparse.realsize'];
const SPARSE = ['GNU.sparse.offset', 'GNU.sparse.numbytes', 'GNU.sparse.numblocks'];
const TEXTS = [
  'hdrcharset',
  'comment',
  'charset',
  'SCHILY.realsize',
  'LIBARCHIVE.creationtime',
  'VENDOR.key',
];
const XATTRS = [
  'user.a',
  'user.b',
  'user.',
  'user.overlay.opaque',
  'trusted.a',
  'trusted.overlay.opaque',
  'trusted.overlay.redirect',
  'trusted.overlay.metacopy',
  'security.capability',
  'security.ima',
  'security.selinux',
  'system.posix_acl_access',
  'system.posix_acl_default',
  'system.nfs4_acl',
  'nonsense.a',
  'nonsense',
  '',
  `user.${'x'.repeat(250)}`,
  `user.${'x'.repeat(251)}`,
  'user.\xff',
  'user.a\0b',
  'user.a=b',
];

/**
 * ACLs and capabilities that a kernel takes, so that what is right is met too (linux/posix_acl_xattr.h,
 * capability.h).
 */
const ACL = Buffer.from(
  '0200000001000700ffffffff02000600010000000400050000000000100007000000ffff2000050000000000',
  'hex',
);
const GOOD_ACL = Buffer.from('0200000001000700ffffffff04000500ffffffff20000500ffffffff', 'hex');
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');

export type PaxPair = readonly [key: BytePath, value: Buffer];

/** One record as some writer might have meant it. */
export function paxPair(random: Random): PaxPair {
  switch (random.below(8)) {
    case 0:
      return ['path', Buffer.from(path(random), 'latin1')];
    case 1:
      return ['linkpath', Buffer.from(target(random), 'latin1')];
    case 2:
      return [random.pick(NUMBERS), Buffer.from(decimal(random))];
    case 3:
      return [random.pick(SPARSE), Buffer.from(decimal(random))];
    case 4:
      return [random.pick(TEXTS), value(random)];
    case 5:
      return [`LIBARCHIVE.xattr.${random.pick(XATTRS)}`, Buffer.from(value(random).toString('base64'))];
    case 6:
      return sparseWord(random);
    default:
      return [`SCHILY.xattr.${random.pick(XATTRS)}`, xattrValue(random)];
  }
}

function sparseWord(random: Random): PaxPair {
  const key = random.pick(['GNU.sparse.major', 'GNU.sparse.minor', 'GNU.sparse.map', 'GNU.sparse.name']);
  if (key === 'GNU.sparse.name') return [key, Buffer.from(path(random), 'latin1')];
  if (key !== 'GNU.sparse.map') return [key, Buffer.from(random.pick(['0', '1', '2', '']))];
  const numbers = Array.from({ length: random.below(9) }, () => decimal(random));
  return [key, Buffer.from(numbers.join(','))];
}

function xattrValue(random: Random): Buffer {
  if (random.chance(0.3)) return random.pick([ACL, GOOD_ACL, CAPABILITY, Buffer.from('y')]);
  if (random.chance(0.02)) return random.bytes(random.pick([4096, 65_536, 65_537]));
  return value(random);
}
