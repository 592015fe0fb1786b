import { renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createResolver } from '../../src/system/index.js';
import { LayerWriter } from '../../src/unpack/layer/layer-writer.js';
import { defaultOwnership } from '../../src/unpack/terms/ownership.js';
import { TarReader } from '../../src/unpack/tar/tar-reader.js';
import { containmentSuite } from '../suites/containment.js';
import { ONE_LAYER } from '../suites/escapes/one-layer.js';
import { listing, Sandbox } from '../support/extract-layer.js';
import { SENTINEL_CONTENT } from '../support/sentinel.js';
import { archive, directory, file } from '../support/tar-builder.js';
import { FORMS } from '../support/unpacked-forms.js';

// As root, nothing but containment itself stands between a layer and the files outside.
const RESOLVERS = [createResolver({ openat2: true }), createResolver({ openat2: false })];

for (const form of FORMS) if (form !== 'exported') containmentSuite(form);

describe.each(RESOLVERS)('the writer of layers ($method)', (resolver) => {
  let sandbox: Sandbox;
  beforeEach(() => {
    sandbox = new Sandbox();
  });
  afterEach(() => sandbox.remove());

  it.each(ONE_LAYER)('$name', ({ layers, code }) => {
    const [parts = []] = layers(sandbox.outside, '../outside');
    const attempt = (): unknown => sandbox.extract(archive(...parts), { resolver });
    // A hard link to what is nowhere here may be in a lower layer, for all that the writer knows.
    if (code === undefined || code === 'BAD_ARCHIVE') attemptIt(attempt);
    else expect(attempt).toThrow(expect.objectContaining({ code }));
    expect(sandbox.damage()).toEqual([]);
    expect(Object.values(listing(sandbox.layer)).join('\n')).not.toContain(SENTINEL_CONTENT);
  });

  it.each([
    { leading: 'outside', target: () => sandbox.outside },
    { leading: 'elsewhere in the layer', target: () => 'other' },
  ])('does not go through a symlink $leading that another process puts in the way', ({ target }) => {
    const writer = new LayerWriter(sandbox.layer, {
      ownership: defaultOwnership(),
      devices: true,
      resolver,
    });
    const reader = new TarReader(writer);
    // Enough directories that none of the first is still open when it is needed again.
    const more = Array.from({ length: 100 }, (_, i) => file(`other/${i}/f`));
    reader.push(Buffer.concat([directory('d/directory'), directory('other/directory'), ...more]));
    renameSync(join(sandbox.layer, 'd'), join(sandbox.layer, 'away'));
    symlinkSync(target(), join(sandbox.layer, 'd'));
    try {
      expect(() => reader.push(file('d/directory/new', 'x'))).toThrow(
        expect.objectContaining({ code: 'FILESYSTEM' }),
      );
      expect(() => writer.finish()).toThrow(expect.objectContaining({ code: 'FILESYSTEM' }));
    } finally {
      writer.close();
    }
    expect(Object.keys(listing(sandbox.layer)).filter((path) => path.endsWith('new'))).toEqual([]);
    expect(sandbox.damage()).toEqual([]);
  });
});

function attemptIt(attempt: () => unknown): void {
  try {
    attempt();
  } catch (error) {
    expect(error).toMatchObject({ code: 'BAD_ARCHIVE' });
  }
}
