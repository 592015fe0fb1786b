import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  ContainerdImages,
  type ContainerdImagesOptions,
} from '../../../src/daemon/containerd/containerd-images.js';
import { OwnOffers } from '../../../src/daemon/containerd/labels.js';
import { NodeImages } from '../../../src/daemon/cri/node-images.js';
import { removeImage, tagImage } from '../../../src/engine/images/names.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { chainIds, formatPlatform, hostPlatform, MEDIA_TYPES } from '../../../src/spec/index.js';
import { FakeContainerd } from '../../support/fake-containerd.js';
import { failure } from '../../support/registry-fixture.js';
import { putImage, putIndex, type StoredImage } from '../../support/stored-image.js';

const APP = 'registry.example/team/app:1';
const OTHER = 'registry.example/team/other:1';
const MANAGED = { 'io.cri-containerd.image': 'managed', 'landfall.dev/managed': 'true' };

describe('the images of a store in a containerd', () => {
  let work: string;
  let store: Store;
  let containerd: FakeContainerd;
  let images: ContainerdImages | undefined;
  const problems: string[] = [];
  const registered: string[] = [];
  const forgotten: string[] = [];

  beforeEach(async () => {
    for (const list of [problems, registered, forgotten]) list.length = 0;
    work = await mkdtemp(join(tmpdir(), 'landfall-containerd-'));
    store = await openStore({ root: join(work, 'store'), sync: 'none', workers: 1 });
    containerd = new FakeContainerd(join(work, 'containerd.sock'));
  });
  afterEach(async () => {
    await images?.[Symbol.asyncDispose]();
    images = undefined;
    await containerd[Symbol.asyncDispose]();
    await store.close();
    await rm(work, { recursive: true, force: true });
  });

  const follow = (o: Partial<ContainerdImagesOptions> = {}): ContainerdImages => {
    images = ContainerdImages.start({
      store,
      images: new NodeImages(store),
      offers: new OwnOffers(),
      socket: containerd.socket,
      onProblem: (error) => problems.push(error.message),
      onRegistered: (names) => registered.push(...names),
      onForgotten: (names) => forgotten.push(...names),
      ...o,
    });
    return images;
  };
  const put = (name: string, ...layers: string[]): Promise<StoredImage> =>
    putImage(store, name, { layers, unpack: true });
  const names = (): string[] => [...containerd.records.keys()].toSorted();
  const namesOf = (name: string, { target, config }: StoredImage): string[] =>
    [name, `${name.replace(/:[^:]*$/, '')}@${target.digest}`, config.digest].toSorted();

  it('are registered under a lease: content, then layers bottom up, then the ID and the names', async () => {
    const image = await put(APP, 'one', 'two');
    await containerd.start();
    await follow().settled(APP);
    const { target, config, layers, diffIds } = image;
    const chains = chainIds(diffIds);
    const steps = [
      `content/Write ${config.digest}`,
      `content/Write ${target.digest}`,
      ...chains.map((chainId) => `snapshots/Prepare ${chainId}`),
      `images/Create ${config.digest}`,
      `images/Create registry.example/team/app@${target.digest}`,
      `images/Create ${APP}`,
    ];
    expect(containerd.calls.slice(0, steps.length)).toEqual(steps);
    // Its CRI learns a moment later, and may be reminded of what it does not know by then.
    const names = [config.digest, `registry.example/team/app@${target.digest}`, APP];
    const reminders = names.map((name) => `images/Update ${name}`);
    expect(reminders).toEqual(expect.arrayContaining(containerd.calls.slice(steps.length)));
    expect(containerd.blobs.get(target.digest)?.labels).toEqual({
      'containerd.io/gc.ref.content.config': config.digest,
      'containerd.io/gc.ref.content.l.0': layers[0]?.digest,
      'containerd.io/gc.ref.content.l.1': layers[1]?.digest,
    });
    expect(containerd.blobs.get(config.digest)?.labels).toEqual({
      'containerd.io/gc.ref.snapshot.landfall': chains.at(-1),
    });
    const { mediaType, digest, size } = target;
    expect([...containerd.records.values()]).toEqual(
      [config.digest, `registry.example/team/app@${digest}`, APP].map((name) => ({
        name,
        labels: MANAGED,
        target: { mediaType, digest, size: `${size}`, annotations: {} },
      })),
    );
    expect(problems).toEqual([]);
  });

  it('of an index have it too, with all the manifests that it names', async () => {
    const image = await putImage(store, undefined, { layers: ['one'], unpack: true });
    const elsewhere = await putImage(store, undefined, { layers: ['elsewhere'] });
    const here = { ...image.target, platform: hostPlatform() };
    const index = await putIndex(store, APP, [
      { ...elsewhere.target, platform: { os: 'plan9', architecture: 'mips' } },
      here,
    ]);
    await containerd.start();
    await follow().settled(APP);
    expect(containerd.blobs.get(index.digest)?.labels).toEqual({
      'containerd.io/gc.ref.content.m.0': elsewhere.target.digest,
      'containerd.io/gc.ref.content.m.1': image.target.digest,
    });
    expect(names()).toEqual(
      [APP, `registry.example/team/app@${index.digest}`, image.config.digest].toSorted(),
    );
    expect(containerd.blobs.has(elsewhere.target.digest)).toBe(false);
    expect(formatPlatform(hostPlatform())).toContain('linux');
  });

  it.each([
    ['is not unpacked', { layers: ['one'] }],
    ['is an artifact', { layers: ['one'], configType: MEDIA_TYPES.ociEmpty }],
  ])('do not have what %s, and nobody waits for it', async (_, options) => {
    await putImage(store, APP, options);
    await containerd.start();
    await follow().settled(APP);
    expect(names()).toEqual([]);
  });

  it('come and go with what other processes do to the store', async () => {
    await containerd.start();
    follow();
    const image = await put(APP, 'one');
    await vi.waitFor(() => expect(containerd.cri.get(APP)).toBe(image.config.digest), 5_000);
    // It is told once containerd has answered, which is after it has the image.
    await vi.waitFor(() => expect(registered.toSorted()).toEqual(namesOf(APP, image)), 5_000);
    await removeImage(store, APP);
    await vi.waitFor(() => expect(names()).toEqual([]), 5_000);
    await vi.waitFor(() => expect(forgotten.toSorted()).toEqual(namesOf(APP, image)), 5_000);
    expect(containerd.calls.filter((call) => call.endsWith('and collect'))).toHaveLength(1);
  });

  it('go for good when that is waited for, and stay while another name has them', async () => {
    const image = await put(APP, 'one');
    await tagImage(store, APP, OTHER);
    await containerd.start();
    const following = follow();
    await following.settled(APP);
    await removeImage(store, APP);
    await following.settled(APP);
    expect(containerd.cri.get(APP)).toBeUndefined();
    expect(containerd.cri.get(OTHER)).toBe(image.config.digest);
    expect(names()).toEqual(namesOf(OTHER, image));
    await removeImage(store, OTHER);
    await following.settled(OTHER);
    expect(names()).toEqual([]);
  });

  it('follow a tag to another digest', async () => {
    const before = await put(APP, 'one');
    await containerd.start();
    const following = follow();
    await following.settled(APP);
    const after = await put(APP, 'one', 'two');
    await following.settled(APP);
    expect(containerd.cri.get(APP)).toBe(after.config.digest);
    expect(names()).toEqual(namesOf(APP, after));
    expect(forgotten).toContain(before.config.digest);
  });

  it('are called by what stands beside the tag where that is a digest', async () => {
    const image = await putImage(store, undefined, { layers: ['one'], unpack: true });
    const name = `${APP}@${image.target.digest}`;
    await store.images.put({ name, target: image.target });
    await containerd.start();
    const following = follow();
    await following.settled(name);
    expect(names()).toEqual(
      [`registry.example/team/app@${image.target.digest}`, image.config.digest].toSorted(),
    );
    await removeImage(store, name);
    await following.settled(name);
    expect(names()).toEqual([]);
  });

  it('are told to be pinned, and not any more', async () => {
    await put(APP, 'one');
    await store.images.pin(APP, true);
    await containerd.start();
    const following = follow();
    await following.settled(APP);
    const pinned = (): unknown => containerd.records.get(APP)?.labels['io.cri-containerd.pinned'];
    expect(pinned()).toBe('pinned');
    await store.images.pin(APP, false);
    await vi.waitFor(() => expect(pinned()).toBeUndefined(), 5_000);
  });

  it('leave names of others alone, and take over one that is theirs', async () => {
    const image = await put(APP, 'one');
    const foreign = {
      labels: { mine: 'yes' },
      target: { mediaType: 'a/b', digest: image.config.digest, size: '1' },
    };
    for (const name of [OTHER, APP]) containerd.records.set(name, { name, ...foreign });
    await containerd.start();
    const following = follow();
    await following.settled(APP);
    await following.settled(OTHER);
    expect(containerd.records.get(OTHER)).toEqual({ name: OTHER, ...foreign });
    expect(containerd.records.get(APP)).toMatchObject({
      labels: { mine: 'yes', ...MANAGED },
      target: { digest: image.target.digest },
    });
    await removeImage(store, APP);
    await following.settled(APP);
    expect(names()).toEqual([OTHER]);
  });

  it('are put right at the start: what is gone here goes, and what is lacking comes', async () => {
    const image = await put(APP, 'one');
    const gone = { labels: MANAGED, target: { mediaType: 'a/b', digest: image.config.digest, size: '1' } };
    containerd.records.set(OTHER, { name: OTHER, ...gone });
    await containerd.start();
    follow();
    await vi.waitFor(() => expect(names()).toEqual(namesOf(APP, image)), 5_000);
    expect(problems).toEqual([]);
  });

  it('are completed where only a part of them is there', async () => {
    const image = await put(APP, 'one', 'two');
    await containerd.start();
    await follow().settled(APP);
    await images?.[Symbol.asyncDispose]();
    containerd.blobs.delete(image.config.digest);
    containerd.snapshots.delete(chainIds(image.diffIds).at(-1) ?? '');
    await follow().settled(APP);
    await vi.waitFor(() => expect(containerd.blobs.has(image.config.digest)).toBe(true), 5_000);
    expect([...containerd.snapshots.keys()]).toEqual(chainIds(image.diffIds));
  });

  it('come back when somebody else takes a name away', async () => {
    const image = await put(APP, 'one');
    await containerd.start();
    await follow().settled(APP);
    containerd.remove(APP);
    await vi.waitFor(() => expect(names()).toEqual(namesOf(APP, image)), 5_000);
  });

  it('leave containerd in peace while nothing changes', async () => {
    await put(APP, 'one');
    await containerd.start();
    const following = follow();
    await following.settled(APP);
    // What the first looks wrote to the store is a change too.
    await sleep(1_500);
    const { looks } = containerd;
    await sleep(2_500);
    await following.settled(APP);
    expect(containerd.looks).toBe(looks);
  });

  it('wait for a containerd that is away, and catch up with it', async () => {
    const image = await put(APP, 'one');
    const following = follow({ patienceMs: 1_500 });
    const error = await failure(following.settled(APP));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true });
    expect(error.message).toContain(APP);
    expect(problems).toEqual([]);
    await vi.waitFor(() => expect(problems).toHaveLength(1), 15_000);
    await containerd.start();
    await vi.waitFor(() => expect(containerd.cri.get(APP)).toBe(image.config.digest), 10_000);
    containerd.stop();
    const other = await put(OTHER, 'two');
    await containerd.start();
    // Its CRI has forgotten what it knew, as it does when it starts and does not find the layers.
    await vi.waitFor(() => expect(containerd.cri.get(OTHER)).toBe(other.config.digest), 10_000);
    await vi.waitFor(() => expect(containerd.cri.get(APP)).toBe(image.config.digest), 10_000);
  });

  it('of which landfall has not the layers are a problem, and hold up no others', async () => {
    const { diffIds } = await put(APP, 'one', 'two');
    const other = await put(OTHER, 'three');
    const [, top = 'sha256:none'] = chainIds(diffIds);
    containerd.missing.add(top);
    await containerd.start();
    const following = follow({ patienceMs: 1_500 });
    const error = await failure(following.settled(APP));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', cause: { code: 'SNAPSHOT_NOT_FOUND' } });
    await following.settled(OTHER);
    expect(names()).toEqual(namesOf(OTHER, other));
    expect(containerd.calls).toContain(`snapshots/Remove KEY ${top}`);
    expect(problems).toEqual([expect.stringContaining(top)]);
    containerd.missing.delete(top);
    await vi.waitFor(() => expect(names()).toContain(APP), 10_000);
  });

  it('are made anew where containerd still knows layers that landfall has no more', async () => {
    const image = await put(APP, 'one', 'two');
    const [bottom = '', top = ''] = chainIds(image.diffIds);
    containerd.snapshots.set(bottom, '').set(top, bottom);
    containerd.missing.add(top);
    await containerd.start();
    const following = follow({ patienceMs: 1_500 });
    await failure(following.settled(APP));
    expect(containerd.calls).toContain(`snapshots/Remove ${top}`);
    expect(containerd.calls).not.toContain(`snapshots/Remove ${bottom}`);
  });

  it('cannot be waited for where its CRI is disabled', async () => {
    await put(APP, 'one');
    containerd.hasCri = false;
    await containerd.start();
    const error = await failure(follow({ patienceMs: 1_500 }).settled(APP));
    expect(error).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('UNIMPLEMENTED') as string,
    });
  });

  it('are waited for no longer than somebody wants them', async () => {
    await put(APP, 'one');
    const asked = new AbortController();
    const settled = failure(follow().settled(APP, { signal: asked.signal }));
    asked.abort();
    expect(await settled).toMatchObject({ code: 'ABORTED' });
  });
});
