import { type ClientUnaryCall, type ServiceError, status } from '@grpc/grpc-js';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Daemon } from '../../../src/daemon/daemon.js';
import type { InfoMessage, TimestampMessage } from '../../../src/daemon/snapshots/remote-image.js';
import type { LeftLayer } from '../../../src/daemon/snapshots/snapshots-service.js';
import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { removeImage } from '../../../src/engine/images/names.js';
import type { RegistryClient } from '../../../src/registry/index.js';
import { chainIds, type Digest } from '../../../src/spec/index.js';
import { deferred } from '../../../src/concurrency/index.js';
import { microsecondsNow } from '../../../src/system/index.js';
import { all, call, type GrpcClient, grpcClient, stream } from '../../support/grpc-client.js';
import { imageSteps } from '../../support/image-steps.js';
import { makeLayeredLayout } from '../../support/layered-image.js';
import { isRoot } from '../../support/needs-root.js';
import { fastClient } from '../../support/registry-fixture.js';
import { errorReply, ScriptedRegistry } from '../../support/scripted-registry.js';
import type { TinyLayout } from '../../support/tiny-image.js';
import { PLAIN_DAEMON } from '../plain-daemon.js';

const REF = 'containerd.io/snapshot.ref';
const SERVICE = 'containerd.services.snapshots.v1.Snapshots';

interface Asked {
  readonly client: GrpcClient;
  readonly layout: TinyLayout;
  readonly image: string;
}

function microsecondsOf({ seconds, nanos }: TimestampMessage): number {
  return Number(seconds) * 1_000_000 + nanos / 1000;
}

/** What containerd sends for one layer of an image, where its CRI has annotations of snapshots on. */
function labelsOf(
  { layout, image }: Asked,
  layer: number,
  chains: readonly Digest[],
): Record<string, string> {
  const digests = layout.manifests[0].layers.map(({ digest }) => digest);
  return {
    [REF]: chains[layer] ?? '',
    'containerd.io/snapshot/cri.image-ref': image,
    'containerd.io/snapshot/cri.manifest-digest': layout.manifests[0].manifest.digest,
    'containerd.io/snapshot/cri.layer-digest': digests[layer] ?? '',
    'containerd.io/snapshot/cri.image-layers': digests.slice(layer).join(','),
  };
}

describe("a containerd's snapshots", () => {
  let work: string;
  let store: Store;
  let registryClient: RegistryClient;
  let registry: ScriptedRegistry;
  let layout: TinyLayout;
  let daemon: Daemon;
  let client: GrpcClient;
  let admission = deferred<undefined>();
  /** The only layer that waits at the gate; undefined: all. */
  let held: string | undefined;
  let refused = false;
  /** What the registry asks for, where it asks for anything. */
  let secret: string | undefined;
  let outcomes: string[] = [];
  let left: LeftLayer[] = [];
  const freed = new Map<string, number>();
  let chains: Digest[];

  beforeEach(async () => {
    admission = deferred();
    admission.resolve(undefined);
    held = undefined;
    refused = false;
    secret = undefined;
    outcomes = [];
    left = [];
    freed.clear();
    work = await mkdtemp(join(tmpdir(), 'landfall-snapshots-'));
    layout = await makeLayeredLayout(join(work, 'layout'), { layers: 3, files: 3, fileBytes: 2_000 });
    chains = chainIds(layout.manifests[0].diffIds);
    const layers = new Map<string, Buffer | undefined>(
      layout.manifests[0].layers.map(({ digest }) => [digest, layout.blobs.get(digest)]),
    );
    registry = await ScriptedRegistry.start(
      imageSteps(layout, {
        repository: 'team/app',
        tag: '1',
        first: ({ line, headers }) => {
          if (secret !== undefined && headers.authorization !== secret)
            return errorReply(401, 'UNAUTHORIZED', 'no', { 'www-authenticate': 'Basic realm="port"' });
          if (refused) return errorReply(403, 'DENIED');
          const digest = line.slice(line.lastIndexOf('/') + 1);
          const body = layers.get(digest);
          if (body === undefined) return undefined;
          return held === undefined || held === digest
            ? { body, ranges: true, after: admission.promise }
            : { body, ranges: true };
        },
      }),
    );
    registryClient = fastClient({ plainHttp: true });
    store = await openStore({ root: join(work, 'store'), sync: 'none' });
    daemon = await Daemon.start({
      store,
      registry: registryClient,
      socket: join(work, 'cri.sock'),
      ...PLAIN_DAEMON,
      snapshotter: {
        socket: join(work, 's.sock'),
        onLayer: (outcome, _chainId, layer) => {
          const { code = '' } = (layer?.reason ?? {}) as { code?: string };
          outcomes.push(layer === undefined ? outcome : `${outcome}: ${code}`);
          if (layer !== undefined) left.push(layer);
        },
        onFreed: (by, bytes) => freed.set(by, (freed.get(by) ?? 0) + bytes),
      },
    });
    client = grpcClient('containerd-snapshots-v1.proto', SERVICE, join(work, 's.sock'));
  });
  afterEach(async () => {
    admission.resolve(undefined);
    client.close();
    await daemon.stop(0);
    await registryClient.close();
    await store.close();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const image = (): string => `${registry.address}/team/app:1`;
  const labels = (layer: number): Record<string, string> =>
    labelsOf({ client, layout, image: image() }, layer, chains);
  const prepare = (
    key: string,
    parent = '',
    given: Record<string, string> = {},
  ): Promise<{ mounts: object[] }> => call(client, 'Prepare', { key, parent, labels: given });
  /** As containerd does: the next layer once this one is there. */
  const prepareLayers = async (): Promise<(status | undefined)[]> => {
    const answers: (status | undefined)[] = [];
    for (const layer of chains.keys())
      answers.push(await failure(prepare(`extract-${layer}`, chains[layer - 1] ?? '', labels(layer))));
    return answers;
  };
  const failure = (made: Promise<unknown>): Promise<status | undefined> =>
    made.then(
      () => undefined,
      (error: unknown) => (error as ServiceError).code,
    );
  const list = async (...filters: string[]): Promise<InfoMessage[]> =>
    (await all(stream<{ info: InfoMessage[] }>(client, 'List', { filters }))).flatMap(({ info }) => info);
  const names = async (): Promise<string[]> => (await list()).map(({ name }) => name).sort();
  const directories = async (): Promise<string[]> =>
    (await readdir(join(store.root, 'snapshots'))).filter((name) => /^\d+$/.test(name));
  const layerRequests = (): string[] => {
    const digests = layout.manifests[0].layers.map(({ digest }) => digest);
    return registry.lines().filter((line) => digests.some((digest) => line.endsWith(digest)));
  };

  it('are prepared, committed, viewed and removed', async () => {
    const { mounts } = await prepare('k', '', { a: '1' });
    expect(mounts).toMatchObject([{ type: expect.any(String) as string }]);
    expect(await call(client, 'Mounts', { key: 'k' })).toEqual({ mounts });
    await call(client, 'Commit', { key: 'k', name: 'n', labels: { b: '2' } });
    await call(client, 'View', { key: 'v', parent: 'n' });
    expect(await list('kind==committed')).toMatchObject([
      { name: 'n', kind: 'COMMITTED', labels: { b: '2' } },
    ]);
    expect(await list('parent==n')).toMatchObject([{ name: 'v', kind: 'VIEW', parent: 'n' }]);
    const usage = await call<{ size: string; inodes: string }>(client, 'Usage', { key: 'n' });
    expect(Number(usage.inodes)).toBeGreaterThan(0);
    expect(await failure(call(client, 'Remove', { key: 'n' }))).toBe(status.FAILED_PRECONDITION);
    await call(client, 'Remove', { key: 'v' });
    await call(client, 'Remove', { key: 'n' });
    expect(await names()).toEqual([]);
  });

  it("fail as containerd's own snapshotters do", async () => {
    await prepare('k');
    await call(client, 'Commit', { key: 'k', name: 'n' });
    await prepare('k');
    expect(await failure(prepare('k'))).toBe(status.ALREADY_EXISTS);
    expect(await failure(prepare('x', 'none'))).toBe(status.NOT_FOUND);
    expect(await failure(prepare('x', 'k'))).toBe(status.INVALID_ARGUMENT);
    expect(await failure(call(client, 'Mounts', { key: 'n' }))).toBe(status.FAILED_PRECONDITION);
    expect(await failure(call(client, 'Commit', { key: 'n', name: 'm' }))).toBe(status.FAILED_PRECONDITION);
    expect(await failure(call(client, 'Commit', { key: 'k', name: 'n' }))).toBe(status.ALREADY_EXISTS);
    for (const method of ['Mounts', 'Remove', 'Stat', 'Usage'])
      expect(await failure(call(client, method, { key: 'none' }))).toBe(status.NOT_FOUND);
    expect(await failure(list('kind=='))).toBe(status.INVALID_ARGUMENT);
  });

  it('have times that are never before the call that made or changed them, by a finer clock', async () => {
    const times: number[] = [];
    for (let n = 0; n < 10; n += 1) {
      const began = microsecondsNow();
      await prepare(`k${n}`);
      const changed = microsecondsNow();
      await call(client, 'Update', { info: { name: `k${n}`, labels: { n: `${n}` } } });
      const { info } = await call<{ info: InfoMessage }>(client, 'Stat', { key: `k${n}` });
      const [created, updated] = [microsecondsOf(info.createdAt), microsecondsOf(info.updatedAt)];
      expect([created >= began, created <= changed, updated >= changed]).toEqual([true, true, true]);
      expect(updated).toBeLessThanOrEqual(microsecondsNow());
      times.push(created, updated);
    }
    // Whole milliseconds would be before the call now and then.
    expect(times.some((time) => time % 1000 !== 0)).toBe(true);
  });

  it('have labels that a mask changes', async () => {
    await prepare('k', '', { a: '1', b: '2' });
    const update = async (paths: string[], given: Record<string, string>): Promise<unknown> =>
      (
        await call<{ info: InfoMessage }>(client, 'Update', {
          info: { name: 'k', labels: given },
          updateMask: { paths },
        })
      ).info.labels;
    expect(await update(['labels.a'], { a: '3' })).toEqual({ a: '3', b: '2' });
    expect(await update(['labels.b'], {})).toEqual({ a: '3' });
    expect(await update(['labels'], { c: '4' })).toEqual({ c: '4' });
    expect(await update([], { d: '5' })).toEqual({ d: '5' });
    expect(await failure(update(['parent'], {}))).toBe(status.INVALID_ARGUMENT);
    expect((await call<{ info: InfoMessage }>(client, 'Stat', { key: 'k' })).info.labels).toEqual({ d: '5' });
  });

  it('are brought by landfall where containerd names the image, each layer once', async () => {
    expect(await prepareLayers()).toEqual(chains.map(() => status.ALREADY_EXISTS));
    // The last may be there before it is asked for.
    expect(outcomes[0]).toBe('pulled');
    expect(outcomes.filter((outcome) => outcome !== 'pulled' && outcome !== 'present')).toEqual([]);
    expect(layerRequests()).toHaveLength(chains.length);
    for (const [layer, chainId] of chains.entries()) {
      const parent = chains[layer - 1] ?? '';
      // What containerd asks to find it by.
      expect(await list(`labels."${REF}"==${chainId},parent=="${parent}"`)).toMatchObject([
        { name: chainId, kind: 'COMMITTED', parent },
      ]);
    }
    await prepare('container', chains.at(-1));
    expect(await store.images.list()).toEqual([]);
    expect(await prepareLayers()).toEqual(chains.map(() => status.ALREADY_EXISTS));
    expect(outcomes.slice(chains.length)).toEqual(chains.map(() => 'present'));
  });

  it('are on the disk once, and gone when containerd has removed them', async () => {
    await prepareLayers();
    await expect.poll(() => store.leases.resources()).toEqual({ blobs: new Set(), snapshots: new Set() });
    await collectGarbage(store);
    expect(await directories()).toHaveLength(chains.length);
    expect(await store.localContent.list()[Symbol.asyncIterator]().next()).toMatchObject({ done: true });
    for (const name of chains.toReversed()) await call(client, 'Remove', { key: name });
    expect(await directories()).toEqual([]);
    expect(freed.get('snapshot')).toBeGreaterThan(chains.length * 6_000);
  });

  it('begin with all layers of an image at the first that is asked for', async () => {
    admission = deferred();
    const first = failure(prepare('extract-0', '', labels(0)));
    await expect.poll(layerRequests).toHaveLength(chains.length);
    admission.resolve(undefined);
    expect(await first).toBe(status.ALREADY_EXISTS);
  });

  it('are found without a pull where landfall has the image', async () => {
    await daemon.pulls.pull({ reference: image() });
    const before = registry.lines().length;
    // As containerd has them registered: without a word of the image.
    expect(await failure(prepare('extract-0', '', { [REF]: chains[0] ?? '' }))).toBe(status.ALREADY_EXISTS);
    expect(registry.lines()).toHaveLength(before);
    expect(await names()).toEqual([chains[0]]);
  });

  it('are left to containerd where landfall may not pull', async () => {
    refused = true;
    expect(await failure(prepare('extract-0', '', labels(0)))).toBeUndefined();
    expect(outcomes).toEqual(['left: DENIED']);
    expect(await names()).toEqual(['extract-0']);
  });

  it('are left to containerd on a parent that it made itself', async () => {
    await daemon.pulls.pull({ reference: image() });
    await prepare('k');
    await call(client, 'Commit', { key: 'k', name: 'own' });
    expect(await failure(prepare('extract-1', 'own', labels(1)))).toBeUndefined();
    expect(left).toMatchObject([
      {
        image: image(),
        reason: { message: 'it lies on a layer that containerd unpacked itself' },
        isFirst: true,
      },
    ]);
  });

  it('are left to containerd where it does not name the image, and it is told why', async () => {
    expect(await failure(prepare('extract-0', '', { [REF]: chains[0] ?? '' }))).toBeUndefined();
    expect(left).toMatchObject([
      {
        image: undefined,
        reason: { message: expect.stringContaining('doctor --containerd') as string },
        isFirst: true,
      },
    ]);
  });

  it('are left to containerd where it unpacks them without asking', async () => {
    const [bottom = '', next = ''] = chains;
    await prepare(`dock/1/extract-1-a ${bottom}`);
    await call(client, 'Commit', { key: `dock/1/extract-1-a ${bottom}`, name: `dock/2/${bottom}` });
    await prepare(`dock/3/extract-2-b ${next}`, `dock/2/${bottom}`);
    // A container, and whatever else somebody prepares, is no layer.
    await prepare('dock/4/container', `dock/2/${bottom}`);
    await prepare('dock/5/extract-3-c other');
    const reason = { message: expect.stringContaining('without asking') as string };
    expect(left).toMatchObject([
      { reason, isFirst: true },
      { reason, isFirst: false },
    ]);
  });

  it('are told of once where all layers of an image are left to containerd', async () => {
    refused = true;
    /** As containerd does where it has to unpack them itself. */
    const unpack = async (
      from: string,
      given: (layer: number) => Record<string, string>,
    ): Promise<boolean[]> => {
      left = [];
      let parent = '';
      for (const [layer, chainId] of chains.entries()) {
        const name = `${from}/${layer}/${chainId}`;
        if ((await list(`name==${name}`)).length === 0) {
          await prepare(`${from}/0/extract-${layer} ${chainId}`, parent, given(layer));
          await call(client, 'Commit', { key: `${from}/0/extract-${layer} ${chainId}`, name });
        }
        parent = name;
      }
      return left.map(({ isFirst }) => isFirst);
    };
    expect(await unpack('k8s.io', labels)).toEqual([true, false, false]);
    expect(left.map(({ reason }) => (reason as { code?: string }).code)).toEqual([
      'DENIED',
      'UNSUPPORTED',
      'UNSUPPORTED',
    ]);
    const unnamed = (layer: number): Record<string, string> => ({ [REF]: chains[layer] ?? '' });
    expect(await unpack('plain', unnamed)).toEqual([true, false, false]);
    // Another image on layers that were left with the one before.
    await call(client, 'Remove', { key: `k8s.io/2/${chains[2] ?? ''}` });
    const other = { 'containerd.io/snapshot/cri.image-ref': `${registry.address}/team/app:2` };
    expect(await unpack('k8s.io', (layer) => ({ ...labels(layer), ...other }))).toEqual([true]);
  });

  it('get another parent only before they are committed', async () => {
    await prepare('k');
    await call(client, 'Commit', { key: 'k', name: 'base' });
    await prepare('k', 'base');
    // Since 2.2 containerd says it again in the end.
    await call(client, 'Commit', { key: 'k', name: 'child', parent: 'base' });
    await prepare('k');
    const rebased = call(client, 'Commit', { key: 'k', name: 'other', parent: 'base' });
    await expect(rebased).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
      message: expect.stringContaining('rebase') as string,
    });
    expect(await names()).toEqual(['base', 'child', 'k']);
  });

  it('are left to containerd where it asks for them without their parents', async () => {
    await daemon.pulls.pull({ reference: image() });
    expect(await failure(prepare('extract-1', '', labels(1)))).toBeUndefined();
    expect(left).toMatchObject([{ reason: { message: expect.stringContaining('without') as string } }]);
  });

  it.runIf(isRoot)('are for user namespaces, where labels say so (needs root)', async () => {
    await prepare('k');
    await call(client, 'Commit', { key: 'k', name: 'base' });
    const mapping = (ranges: string): Record<string, string> => ({
      'containerd.io/snapshot/uidmapping': ranges,
      'containerd.io/snapshot/gidmapping': ranges,
    });
    const ranges = '0:100000:65536';
    const options = [`uidmap=${ranges}`, `gidmap=${ranges}`];
    const mounts = { mounts: [{ type: 'overlay', options: expect.arrayContaining(options) as string[] }] };
    expect(await prepare('c', 'base', mapping(ranges))).toMatchObject(mounts);
    expect(await call(client, 'Mounts', { key: 'c' })).toMatchObject(mounts);
    const view = { key: 'v', parent: 'base', labels: mapping(ranges) };
    expect(await call(client, 'View', view)).toMatchObject(mounts);
    expect(await failure(prepare('d', 'base', mapping('0:100000')))).toBe(status.INVALID_ARGUMENT);
    expect(await failure(call(client, 'View', { ...view, key: 'w', labels: mapping('1:1:1') }))).toBe(
      status.INVALID_ARGUMENT,
    );
    // What containerd's client does where it was not told that owners are mapped.
    await prepare('base-100000-100000-remap', 'base');
    await call(client, 'Commit', { key: 'base-100000-100000-remap', name: 'base-100000-100000' });
    const remapped = await prepare('e', 'base-100000-100000', mapping(ranges));
    expect(JSON.stringify(remapped)).not.toContain('uidmap');
  });

  it('are never of an image that has no such chain', async () => {
    const given = { ...labels(0), [REF]: `sha256:${'0'.repeat(64)}` };
    expect(await failure(prepare('extract-0', '', given))).toBeUndefined();
    expect(outcomes).toEqual(['left: NOT_FOUND']);
  });

  it('are not pulled further when containerd has given up', async () => {
    admission = deferred();
    const request = { key: 'extract-0', parent: '', labels: labels(0) };
    const asked = deferred<ServiceError | null>();
    const pending = client['Prepare']?.(request, asked.resolve) as ClientUnaryCall;
    await expect.poll(layerRequests).toHaveLength(chains.length);
    pending.cancel();
    expect(await asked.promise).toMatchObject({ code: status.CANCELLED });
    await expect.poll(() => daemon.pulls.list().length).toBe(0);
    expect(await names()).toEqual([]);
  });

  it('are not sent twice where they had come before containerd gave up', async () => {
    admission = deferred();
    const asked = deferred<ServiceError | null>();
    held = layout.manifests[0].layers.at(-1)?.digest;
    expect(await failure(prepare('extract-0', '', labels(0)))).toBe(status.ALREADY_EXISTS);
    expect(await failure(prepare('extract-1', chains[0], labels(1)))).toBe(status.ALREADY_EXISTS);
    const last = { key: 'extract-2', parent: chains[1] ?? '', labels: labels(2) };
    const pending = client['Prepare']?.(last, asked.resolve) as ClientUnaryCall;
    await expect
      .poll(() => daemon.pulls.list()[0]?.layers.filter(({ state }) => state === 'done').length)
      .toBe(2);
    // Answered one after the other on the same connection, so that by then the call before them waits.
    for (let n = 0; n < 20; n += 1) await call(client, 'Stat', { key: chains[0] });
    pending.cancel();
    await asked.promise;
    await expect.poll(() => daemon.pulls.list().length).toBe(0);
    // containerd lets go of what it was given, and collects.
    for (const name of chains.slice(0, 2).toReversed()) await call(client, 'Remove', { key: name });
    await call(client, 'Cleanup');
    admission.resolve(undefined);
    held = undefined;
    expect(await prepareLayers()).toEqual(chains.map(() => status.ALREADY_EXISTS));
    const [bottom, middle] = layout.manifests[0].layers.map(({ digest }) => digest);
    expect(
      layerRequests().filter((line) => line.endsWith(bottom ?? '') || line.endsWith(middle ?? '')),
    ).toHaveLength(2);
    await expect.poll(() => store.leases.resources()).toEqual({ blobs: new Set(), snapshots: new Set() });
  });

  it('stay with whoever still holds them', async () => {
    await daemon.pulls.pull({ reference: image() });
    await prepareLayers();
    await removeImage(store, image());
    await collectGarbage(store);
    expect(await directories()).toHaveLength(chains.length);
    await daemon.pulls.pull({ reference: image() });
    for (const name of chains.toReversed()) await call(client, 'Remove', { key: name });
    await call(client, 'Cleanup');
    expect(await names()).toEqual([]);
    expect(await directories()).toHaveLength(chains.length);
    await removeImage(store, image());
    expect(await directories()).toEqual([]);
  });

  it("are nothing of landfall's own", async () => {
    await daemon.pulls.pull({ reference: image() });
    await store.snapshotter.prepare('mounted', chains.at(-1));
    expect(await names()).toEqual([]);
    for (const key of ['mounted', chains[0]]) {
      expect(await failure(call(client, 'Stat', { key }))).toBe(status.NOT_FOUND);
      expect(await failure(call(client, 'Remove', { key }))).toBe(status.NOT_FOUND);
    }
  });

  it('come with the credentials that a kubelet pulled the image with, and for that image only', async () => {
    secret = `Basic ${Buffer.from('kubelet:kept-in-memory').toString('base64')}`;
    expect(await failure(prepare('before', '', labels(0)))).toBeUndefined();
    expect(outcomes).toEqual(['left: UNAUTHORIZED']);
    const cri = grpcClient('runtime-v1.proto', 'runtime.v1.ImageService', join(work, 'cri.sock'));
    const auth = { username: 'kubelet', password: 'kept-in-memory' };
    await call(cri, 'PullImage', { image: { image: image() }, auth });
    await call(cri, 'RemoveImage', { image: { image: image() } });
    cri.close();
    const another = {
      ...labels(0),
      'containerd.io/snapshot/cri.image-ref': `${registry.address}/team/app:2`,
    };
    expect(await failure(prepare('another', '', another))).toBeUndefined();
    expect(await failure(prepare('after', '', labels(0)))).toBe(status.ALREADY_EXISTS);
  });
});
