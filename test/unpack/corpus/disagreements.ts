import { ARCHIVES } from '../../support/corpus/archives.js';
import type { Listed } from '../../support/corpus/listed.js';
import type { ReaderName } from '../../support/corpus/readers.js';

const named = (...words: string[]): string[] =>
  ARCHIVES.filter((name) => words.some((word) => name.includes(word)));

const GNU_PAX = named('GNU tar, pax');
/** GNU tar was asked for extended attributes there. */
const GNU_XATTRS = GNU_PAX.filter((name) => !/ACLs|global/.test(name));
const BSD_PAX = named('bsdtar, pax');
const PYTHON_PAX = named('Python, pax');
const GLOBAL = named('global records');
const TREE_PAX = [...GNU_PAX, ...BSD_PAX, ...PYTHON_PAX];

const NEGATIVE = /^m\/time (1960|before|minus)$/;
const ACL = /^xattr system\.posix_acl_(access|default)$/;

const GNU_TAR: readonly Listed[] = [
  {
    archives: GNU_XATTRS,
    paths: /^x\/acl/,
    info: ACL,
    reason: 'it keeps ACLs in records of their own only; an xattr is an xattr to image-spec',
  },
  {
    archives: [...named('ACLs'), ...BSD_PAX],
    paths: /^x\/acl/,
    info: /^(mode|xattr system\.posix_acl_(access|default))$/,
    reason:
      "image-spec has xattrs and no ACL records, whose names of users are the machine's; containerd and umoci pass them by too",
  },
  {
    archives: [...GNU_XATTRS, ...BSD_PAX],
    paths: /^x\/user$/,
    info: /^xattr user\.(a=b|a%3Db|100%25|100%2525)$/,
    reason:
      'it takes % in the name of a SCHILY.xattr for an escape; to Go, which writes most layers, it is a letter',
  },
  {
    archives: BSD_PAX,
    paths: /^x\/user$/,
    info: /^xattr user\.caf\xe9$/,
    reason:
      'it does not know LIBARCHIVE.xattr, the only form in which libarchive writes a name that is not UTF-8',
  },
];

const BSDTAR: readonly Listed[] = [
  {
    archives: ARCHIVES,
    paths: /^$/,
    info: /^mtime$/,
    reason: 'it does not give the directory that it extracts into the time of ./',
  },
  {
    archives: TREE_PAX,
    paths: NEGATIVE,
    info: /^mtime$/,
    reason: 'it adds the fraction of a negative time where it has to be taken away',
  },
  {
    archives: GNU_XATTRS,
    paths: /^x\/acl/,
    info: ACL,
    reason: 'it keeps ACLs in records of their own only; an xattr is an xattr to image-spec',
  },
  {
    archives: [...named('ACLs'), ...BSD_PAX],
    paths: /^x\/acl/,
    info: /^(mode|xattr system\.posix_acl_(access|default))$/,
    reason: 'as for GNU tar',
  },
  {
    archives: GNU_PAX,
    paths: /^$/,
    info: /^status$/,
    reason: 'it complains of names that are not UTF-8, after it has made the files',
  },
  {
    archives: GLOBAL,
    paths: /^/,
    info: /^owner$/,
    reason: 'it passes global records by',
  },
  {
    archives: named('GNU tar, pax, global'),
    paths: /^m\/time (epoch|2242)$/,
    info: /^mtime$/,
    reason: 'it passes global records by',
  },
];

const UMOCI: readonly Listed[] = [
  {
    archives: named('gnu, sparse', 'built here'),
    paths: /^$/,
    info: /^status$/,
    reason: "it refuses GNU's old sparse format, which containerd and every tar read",
  },
  {
    archives: GLOBAL,
    paths: /^$/,
    info: /^status$/,
    reason: 'it refuses global headers, which POSIX has, and git writes',
  },
  {
    archives: [...GNU_XATTRS, ...BSD_PAX],
    paths: /^x\/user$/,
    info: /^xattr user\.empty$/,
    reason: 'Go takes an empty value for none, though an xattr may be empty',
  },
  {
    archives: BSD_PAX,
    paths: /^x\/user$/,
    info: /^xattr user\.(a=b|100%25|caf\xe9)$/,
    reason: 'it does not know LIBARCHIVE.xattr',
  },
  {
    archives: PYTHON_PAX.filter((name) => !GLOBAL.includes(name)),
    paths: /^m\/time before$/,
    info: /^mtime$/,
    reason: 'POSIX rounds a time finer than a nanosecond to the earlier one, Go to the one nearer to 1970',
  },
];

/**
 * What landfall and other programs make otherwise of archives that programs write; facts are those of
 * `readTree`, and `status` where the program fails. This is all there is: a row that no longer shows makes
 * the test fail.
 */
export const DISAGREEMENTS: Readonly<Record<ReaderName, readonly Listed[]>> = {
  'GNU tar': GNU_TAR,
  bsdtar: BSDTAR,
  umoci: UMOCI,
};
