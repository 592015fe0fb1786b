import { chmod, chown, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { lsetxattr, toBytePath } from '../../../src/system/index.js';
import { isRoot } from '../../support/needs-root.js';
import { archive, directory, file } from '../../support/tar-builder.js';
import { FORMS, openForm } from '../../support/unpacked-forms.js';
import { removeTree } from '../../support/unpack-fixture.js';

/** user::rwx, user:1000:rwx, group::rwx, mask::rwx, other::rwx, as the kernel stores them. */
const ACL = Buffer.from(
  '0200000001000700ffffffff02000700e803000004000700ffffffff10000700ffffffff20000700ffffffff',
  'hex',
);

/** An archive lies in no directory. */
const IN_DIRECTORIES = FORMS.filter((form) => form !== 'exported');

/*
 * The root of an image is made within a directory that the image knows nothing of. What that hands down to all that is made
 * in it, and what the umask of the process takes away, is no part of the image.
 */
describe('below a directory with a default ACL and setgid, with a umask that lets nobody else in', () => {
  let place: string;
  let umask: number;
  beforeEach(async () => {
    place = await mkdtemp(join(tmpdir(), 'landfall-place-'));
    lsetxattr(toBytePath(place), 'system.posix_acl_default', ACL);
    await chmod(place, 0o2777);
    umask = process.umask(0o077);
    vi.stubEnv('TMPDIR', place);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    process.umask(umask);
    await removeTree(place);
  });

  test.each(IN_DIRECTORIES)('%s: the tree is what the layers say', async (name) => {
    await using form = await openForm(name);
    const layers = [
      archive(file('d/f', 'x'), directory('e', { mode: 0o711 })),
      archive(file('d/g', 'y'), file('late/f', 'z')),
    ];
    const { listing } = await form.unpack(layers);
    const shown = Object.entries(listing).map(([path, entry]) => [
      path,
      entry.mode.toString(8),
      entry.owner,
      entry.xattrs,
    ]);
    expect(shown).toEqual(
      [
        ['', '755'],
        ['d', '755'],
        ['d/f', '644'],
        ['d/g', '644'],
        ['e', '711'],
        ['late', '755'],
        ['late/f', '644'],
      ].map(([path, mode]) => [path, mode, '0:0', {}]),
    );
  });

  test.skipIf(!isRoot)('and with another group', async () => {
    await chown(place, 0, 1234);
    for (const name of IN_DIRECTORIES) {
      await using form = await openForm(name);
      const { listing } = await form.unpack([archive(file('d/f', 'x'))]);
      expect(
        Object.values(listing).map(({ owner }) => owner),
        name,
      ).toEqual(['0:0', '0:0', '0:0']);
    }
  });
});
