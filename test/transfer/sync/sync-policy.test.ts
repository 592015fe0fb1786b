import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { PolicyFile } from '../../../src/trust/index.js';
import { addImage } from '../../support/memory-images.js';
import { PolicyFiles, sign } from '../../support/memory-signed-images.js';
import { mirror, Mirrored, outcomes } from './mirrored.js';

describe('a sync under a signature policy', () => {
  let files: PolicyFiles;
  let policy: PolicyFile;
  let mirrored: Mirrored;
  beforeAll(async () => {
    files = await PolicyFiles.create();
    policy = await files.signedOnly();
  });
  afterAll(() => files[Symbol.asyncDispose]());
  beforeEach(async () => {
    mirrored = new Mirrored();
    await signed('1');
    addImage(app(), { tag: '2', layers: ['unsigned'] });
  });

  const app = (): ReturnType<Mirrored['repository']> => mirrored.repository('src.lan/team/app');
  const FILE = mirror('[team/app]', '    referrers: false');
  const WITH_REFERRERS = mirror('[team/app]');

  async function signed(tag: string): Promise<void> {
    await sign(app(), addImage(app(), { tag, layers: [tag] }), { key: files.key });
  }

  it('brings what is signed, and fails for each image that is not', async () => {
    const result = await mirrored.sync(FILE, { policy });
    expect(outcomes(result)).toEqual(['hub/team/app:1 copied', 'hub/team/app:2 failed']);
    expect(result.images).toMatchObject([
      { signatures: [{ policy: policy.path }] },
      { error: { code: 'SIGNATURE_MISSING' } },
    ]);
    expect(mirrored.tags('dst.lan/hub/team/app')).toEqual(['1']);
  });

  it('says in a run that only looks what would be refused', async () => {
    const result = await mirrored.sync(FILE, { policy, dryRun: true });
    expect(outcomes(result)).toEqual(['hub/team/app:1 planned', 'hub/team/app:2 failed']);
  });

  it('deletes nothing where something was refused', async () => {
    addImage(mirrored.repository('dst.lan/hub/team/app'), { tag: 'old' });
    const result = await mirrored.sync(FILE, { policy, prune: () => Promise.resolve(true) });
    expect(result).toMatchObject({
      pruned: [],
      unpruned: [{ reason: expect.stringContaining(':2') as string }],
    });
    expect(mirrored.tags('dst.lan/hub/team/app')).toEqual(['1', 'old']);
  });

  it('brings signatures along, and takes them as images where the file asks for them', async () => {
    const copied = await mirrored.sync(WITH_REFERRERS, { policy });
    expect(copied.images[0]?.referrers).toHaveLength(1);
    const tags = Object.keys(app().everything.tags).filter((tag) => tag.endsWith('.sig'));
    const listed = `
sources: [{ registry: src.lan, images: [${tags.map((tag) => `"team/app:${tag}"`).join(', ')}] }]
destinations: [docker://other.lan]
`;
    const { images } = await mirrored.sync(listed, { policy });
    expect(images.map(({ outcome }) => outcome)).toEqual(['copied']);
  });

  it('asks the source a second time no more than without a policy, where the destination has the signatures', async () => {
    const tags = ['3', '4', '5'];
    for (const tag of tags) await signed(tag);
    const some = `
sources: [{ registry: src.lan, repositories: [{ name: team/app, tags: ["1", "3", "4", "5"] }], REFERRERS }]
destinations: [docker://dst.lan]
`;
    await mirrored.sync(some.replace('REFERRERS', 'referrers: true'), { policy });
    const { calls } = mirrored.transport('src.lan');
    calls.length = 0;
    const result = await mirrored.sync(some.replace('REFERRERS', 'referrers: false'), { policy });
    expect(outcomes(result).every((outcome) => outcome.endsWith('exists'))).toBe(true);
    expect(calls.sort()).toEqual(['1', ...tags].map((tag) => `resolve ${tag}`));
  });

  it('does not ask for signatures that a list of tags has shown not to be there', async () => {
    await mirrored.sync(FILE, { policy });
    const { calls } = mirrored.transport('src.lan');
    const asked = calls.filter((call) => /^resolve .*\.sig$/.test(call));
    // Of the signed image; of the other one the list has none.
    expect(asked).toHaveLength(1);
  });
});
