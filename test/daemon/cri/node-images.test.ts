import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeImages } from '../../../src/daemon/cri/node-images.js';
import { parsePlatform, parseReference } from '../../../src/spec/index.js';
import { removeImage, tagImage } from '../../../src/engine/images/names.js';
import { pull } from '../../../src/engine/pull/pull.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { imageSteps } from '../../support/image-steps.js';
import { fastClient } from '../../support/registry-fixture.js';
import { ScriptedRegistry } from '../../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

describe('the images of a node', () => {
  let work: string;
  let store: Store;
  let registry: ScriptedRegistry;
  let layout: TinyLayout;
  beforeEach(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-node-images-'));
    layout = await makeTinyLayout(join(work, 'layout'));
    registry = await ScriptedRegistry.start(imageSteps(layout, { repository: 'team/app', tag: '1' }));
    store = await openStore({ root: join(work, 'store'), sync: 'none' });
  });
  afterEach(async () => {
    await store.close();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const name = (): string => `${registry.address}/team/app:1`;
  const bring = async (): Promise<void> => {
    await using client = fastClient({ plainHttp: true });
    await pull({ store, registry: client, reference: parseReference(name()) });
  };

  it('have one again that was removed while they were listed, and came back before they were listed next', async () => {
    await bring();
    let meanwhile = async (): Promise<void> => {
      meanwhile = () => Promise.resolve();
      await removeImage(store, name());
    };
    const catalog: Store['catalog'] = {
      get: async (wanted) => {
        await meanwhile();
        return await store.catalog.get(wanted);
      },
      list: () => store.catalog.list(),
    };
    const images = new NodeImages({ ...store, catalog });
    expect(await images.list()).toEqual([]);
    await bring();
    expect((await images.list()).map(({ id }) => id)).toEqual([layout.manifests[0].config.digest]);
  });

  it('are those for this machine, where what it lists for another is here', async () => {
    const both = await makeTinyLayout(join(work, 'both'), { platforms: ['linux/386', 'linux/amd64'] });
    registry.expect(...imageSteps(both, { repository: 'team/both', tag: '1' }));
    await using client = fastClient({ plainHttp: true });
    const images = new NodeImages(store);
    const ids = async (): Promise<unknown> => (await images.list()).map(({ id }) => id);
    const bringFor = async (text: string): Promise<void> => {
      const reference = parseReference(`${registry.address}/team/both:1`);
      await pull({ store, registry: client, reference, platform: parsePlatform(text) });
    };
    // A kubelet that finds it does not pull, and would start what is for another processor.
    await bringFor('linux/386');
    expect(await ids()).toEqual([]);
    await bringFor('linux/amd64');
    expect(await ids()).toEqual([both.manifests[1]?.config.digest]);
  });

  it('are known again after each change', async () => {
    const images = new NodeImages(store);
    expect(await images.list()).toEqual([]);
    await bring();
    await tagImage(store, name(), 'other:2');
    const [image] = await images.list();
    expect(image?.repoTags).toEqual([name(), 'docker.io/library/other:2'].sort());
  });
});
