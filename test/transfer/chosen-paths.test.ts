import { beforeEach, describe, expect, it } from 'vitest';

import type { Descriptor } from '../../src/spec/index.js';
import { chosenPaths } from '../../src/transfer/copy/copy-admission.js';
import type { PlatformChoice } from '../../src/transfer/copy/copy-request.js';
import { ManifestReader } from '../../src/transfer/transports/manifest-reader.js';
import { there } from '../support/copied-images.js';
import { addImage, addIndex, AMD64, ARM64, S390X } from '../support/memory-images.js';
import type { MemoryRepository } from '../support/memory-transport.js';

describe('what leads to the manifests that a copy takes', () => {
  let source: MemoryRepository;
  let amd64: Descriptor;
  let arm64: Descriptor;
  beforeEach(() => {
    source = there();
    amd64 = addImage(source, { platform: AMD64, layers: ['amd64'] });
    arm64 = addImage(source, { platform: ARM64, layers: ['arm64'] });
  });

  async function pathsOf(
    target: Descriptor,
    choice: Exclude<PlatformChoice, 'one'> = 'all',
  ): Promise<readonly (readonly string[])[]> {
    const has = async ({ digest }: Descriptor): Promise<boolean> =>
      (await source.resolve(digest)) !== undefined;
    const manifests = new ManifestReader();
    const paths = await chosenPaths({ choice, has })(target, (one) => manifests.bytes(source, one));
    return paths.map((path) => path.map(({ digest }) => digest));
  }

  const entries = (): [Descriptor, typeof AMD64][] => [
    [amd64, AMD64],
    [arm64, ARM64],
  ];

  it('is the manifest itself where there is no index', async () => {
    expect(await pathsOf(amd64)).toEqual([[amd64.digest]]);
  });

  it('is the index, for each that comes along', async () => {
    const { digest, ...index } = addIndex(source, entries());
    const all = [amd64, arm64].map((one) => [digest, one.digest]);
    expect(await pathsOf({ digest, ...index })).toEqual(all);
    expect(await pathsOf({ digest, ...index }, [ARM64])).toEqual(all.slice(1));
    source.damage(arm64.digest);
    expect(await pathsOf({ digest, ...index }, 'present')).toEqual(all.slice(0, 1));
    await expect(pathsOf({ digest, ...index }, [S390X])).rejects.toMatchObject({
      code: 'NO_MATCHING_PLATFORM',
    });
  });

  it('is every index on the way, and each manifest has one way', async () => {
    const inner = addIndex(source, [[arm64, ARM64]]);
    const outer = addIndex(source, [[amd64, AMD64], [inner], [amd64, AMD64]]);
    expect(await pathsOf(outer)).toEqual([
      [outer.digest, amd64.digest],
      [outer.digest, inner.digest, arm64.digest],
    ]);
  });

  it('ends at an index of which nothing comes along: that is copied too', async () => {
    const inner = addIndex(source, [[arm64, ARM64]]);
    const outer = addIndex(source, [[amd64, AMD64], [inner]]);
    source.damage(arm64.digest);
    const toInner = [outer.digest, inner.digest];
    expect(await pathsOf(outer, 'present')).toEqual([[outer.digest, amd64.digest], toInner]);
    const empty = addIndex(source, []);
    expect(await pathsOf(empty)).toEqual([[empty.digest]]);
  });

  it('does not go on for ever', async () => {
    let nested = addIndex(source, entries());
    for (let depth = 0; depth < 20; depth += 1) nested = addIndex(source, [[nested]]);
    await expect(pathsOf(nested)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });
});
