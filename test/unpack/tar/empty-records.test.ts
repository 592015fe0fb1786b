import { describe } from 'vitest';
import { file, pax, symlink } from '../../support/tar-builder.js';
import { itReads, type EntryRow } from '../../support/tar-rows.js';

/** POSIX.1-2001 pax: an empty value deletes a global one, and leaves what the header has. */
const EMPTY: readonly EntryRow[] = [
  ...(
    [
      ['path', 'global', { path: 'a' }],
      ['uid', '9', { uid: 3 }],
      ['gid', '9', { gid: 4 }],
      ['size', '0', { size: 1, content: 'x' }],
      ['mtime', '9', { mtime: { seconds: 5, nanoseconds: 0 } }],
      ['atime', '9', { atime: undefined }],
    ] as const
  ).flatMap(([key, value, is]) => {
    const fields = { uid: 3, gid: 4, mtime: 5 };
    return [
      {
        name: `${key} of a global header that the entry takes back`,
        bytes: Buffer.concat([
          pax({ [key]: value }, 'g'),
          file('a', 'x', { ...fields, pax: { [key]: '' } }),
          pax({ [key]: '' }, 'g'),
        ]),
        is,
      },
      {
        name: `${key} of a global header that a later one takes back`,
        bytes: Buffer.concat([pax({ [key]: value }, 'g'), pax({ [key]: '' }, 'g'), file('a', 'x', fields)]),
        is,
      },
    ];
  }),
  {
    name: 'an empty linkpath',
    bytes: Buffer.concat([pax({ linkpath: 'g' }, 'g'), symlink('a', 't', { pax: { linkpath: '' } })]),
    is: { linkPath: 't' },
  },
  {
    name: 'an xattr that is empty, in place of a global one',
    bytes: Buffer.concat([
      pax({ 'SCHILY.xattr.user.a': 'g', 'SCHILY.xattr.user.b': 'g' }, 'g'),
      file('a', '', { xattrs: { 'user.a': '' } }),
      pax({ 'SCHILY.xattr.user.b': '' }, 'g'),
    ]),
    is: { xattrs: { 'user.a': '', 'user.b': 'g' } },
  },
];

describe('an empty value', () => {
  itReads(EMPTY);
});
