import { ARCHIVES } from '../../support/corpus/archives.js';
import type { Listed } from '../../support/corpus/listed.js';
import { isRoot } from '../../support/needs-root.js';

const matching = (name: RegExp): string[] => ARCHIVES.filter((archive) => name.test(archive));

const XATTRS = matching(/^GNU tar, pax$|sparse \d|incremental|^bsdtar, pax/);

/**
 * Where tar-stream reads an archive of the corpus otherwise; facts are those of `entriesOf`, and `error`
 * where it gives up. This is all there is: a row that no longer shows makes the test fail.
 */
export const TAR_STREAM_FAULTS: readonly Listed[] = [
  {
    archives: matching(/^(GNU tar, gnu, sparse|built here)$/),
    paths: /^Invalid tar header/,
    info: /^error$/,
    reason:
      "it does not know the blocks that continue a map in GNU's old sparse format, nor checksums of signed bytes",
  },
  {
    archives: matching(/^(GNU tar, (oldgnu|gnu)|Python, gnu)$/),
    paths: /^\.\/m\/time /,
    info: /^mtime$/,
    reason: 'it reads negative numbers in base 256 as ones complement, one too high',
  },
  { archives: matching(/pax/), paths: /^/, info: /^mtime$/, reason: 'it ignores a pax mtime' },
  ...(isRoot
    ? [
        {
          archives: matching(/^(GNU tar, pax$|GNU tar, pax, [^g]|Python, pax$)/),
          paths: /^\.\/o\//,
          info: /^owner$/,
          reason: 'it ignores pax uid and gid',
        },
      ]
    : []),
  {
    archives: matching(/global records/),
    paths: /^/,
    info: /^owner$/,
    reason: 'it ignores pax uid and gid, and global records where an entry has none of its own',
  },
  {
    archives: XATTRS,
    paths: /^\.\/x\//,
    info: /^xattr (system\.posix_acl_\w+|trusted\.key|user\.binary|user\.caf.)$/,
    reason: 'it decodes names and values as UTF-8',
  },
  {
    archives: matching(/^bsdtar, pax/),
    paths: /^\.\/x\/user$/,
    info: /^xattr user\.(a=b|100%25|caf\xe9)$/,
    reason: 'it does not know LIBARCHIVE.xattr',
  },
  {
    archives: matching(/sparse \d|^bsdtar, pax/),
    paths: /^\.\/s\//,
    info: /^(type|size|map)$/,
    reason: 'it knows no sparse files',
  },
  {
    archives: matching(/sparse (0\.1|1\.0)|^bsdtar, pax/),
    paths: /^\.\/s\//,
    info: /^path$/,
    reason: 'it does not know GNU.sparse.name',
  },
  {
    archives: matching(/sparse 1\.0|^bsdtar, pax/),
    paths: /^\.\/s\//,
    info: /^content$/,
    reason: 'it takes the map of a sparse file for its content',
  },
  {
    archives: matching(/^bsdtar, v7/),
    paths: /\/$/,
    info: /^type$/,
    reason: 'it makes its type of a header before it looks for the slash of old directories',
  },
];
