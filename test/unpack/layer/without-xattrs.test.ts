import { join } from 'node:path';
import { mkdir } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { LayerWriter } from '../../../src/unpack/layer/layer-writer.js';
import { PRESERVED } from '../../../src/unpack/terms/ownership.js';
import { TarReader } from '../../../src/unpack/tar/tar-reader.js';
import { listing } from '../../support/extract-layer.js';
import { MountNamespace, outputAt } from '../../support/mount-namespace.js';
import { isRoot } from '../../support/needs-root.js';
import { archive, directory, file } from '../../support/tar-builder.js';

const XATTRS = {
  'user.a': '1',
  'user.b': '2',
  'trusted.a': '1',
  'system.posix_acl_default': Buffer.alloc(4),
};

// Mounting it takes root.
test.skipIf(!isRoot)(
  'on a file system that has no xattrs they are left out, with one warning for each kind',
  async () => {
    await using namespace = await MountNamespace.start();
    const path = join(namespace.directory, 'ramfs');
    const layer = namespace.reach(join(path, 'layer'));
    await mkdir(namespace.reach(path));
    await outputAt(namespace, 'mount', '-t', 'ramfs', 'ramfs', path);
    await mkdir(layer);
    const writer = new LayerWriter(layer, { ownership: PRESERVED, devices: true });
    try {
      const reader = new TarReader(writer);
      const parts = [directory('d', { xattrs: XATTRS }), file('d/f', 'x', { uid: 5, xattrs: XATTRS })];
      reader.push(archive(...parts, directory('d', { mode: 0o700, xattrs: XATTRS })));
      reader.end();
      writer.finish();
    } finally {
      writer.close();
    }
    expect(listing(layer)).toEqual({ d: 'dir 700', 'd/f': 'file 644 x' });
    expect(writer.warnings.map((warning) => /"(\w+)" are not kept/.exec(warning)?.[1]).sort()).toEqual([
      'system',
      'trusted',
      'user',
    ]);
  },
);
