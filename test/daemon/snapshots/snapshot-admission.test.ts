import { type ServiceError, status } from '@grpc/grpc-js';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Daemon } from '../../../src/daemon/daemon.js';
import { snapshotsService } from '../../../src/daemon/snapshots/snapshots-service.js';
import { collectGarbage } from '../../../src/engine/upkeep/collect-garbage.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { pull } from '../../../src/engine/pull/pull.js';
import { TrustError } from '../../../src/errors.js';
import type { RegistryClient } from '../../../src/registry/index.js';
import { chainIds, type Descriptor, type Digest } from '../../../src/spec/index.js';
import { PolicyFile } from '../../../src/trust/index.js';
import { call, type GrpcClient, grpcClient } from '../../support/grpc-client.js';
import { fastClient } from '../../support/registry-fixture.js';
import { signature } from '../../support/signature-policies.js';
import { signingKey } from '../../support/signing-keys.js';
import { putBlob } from '../../support/stored-image.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';
import { SignedUpstream } from '../signed-upstream.js';
import { PLAIN_DAEMON } from '../plain-daemon.js';

const OURS = signingKey();
const THEIRS = signingKey();
const REF = 'containerd.io/snapshot.ref';
const CRI = 'containerd.io/snapshot/cri.';
const SERVICE = 'containerd.services.snapshots.v1.Snapshots';

interface Refusal {
  readonly code: status;
  readonly details: string;
}

describe('a containerd under a signature policy', () => {
  let work: string;
  let store: Store;
  let registryClient: RegistryClient;
  let upstream: SignedUpstream;
  let daemon: Daemon | undefined;
  let client: GrpcClient;
  let outcomes: string[] = [];
  /** One platform, three layers; and for two platforms. */
  let plain: TinyLayout;
  let multi: TinyLayout;

  beforeEach(async () => {
    outcomes = [];
    work = await mkdtemp(join(tmpdir(), 'landfall-snapshot-gate-'));
    await writeFile(join(work, 'ours.pub'), OURS.pem);
    await writeFile(join(work, 'theirs.pub'), THEIRS.pem);
    plain = await makeTinyLayout(join(work, 'plain'), { layers: ['a', 'b', 'c'].map(layerOf) });
    multi = await makeTinyLayout(join(work, 'multi'), {
      layers: ['a', 'd'].map(layerOf),
      platforms: ['linux/amd64', 'linux/arm64'],
    });
    upstream = await SignedUpstream.start();
    upstream.put(plain, 'plain');
    upstream.put(multi, 'multi');
    registryClient = fastClient({ plainHttp: true });
    store = await openStore({ root: join(work, 'store'), sync: 'none', workers: 1 });
  });
  afterEach(async () => {
    await stop();
    await registryClient.close();
    await store.close();
    await upstream[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const layerOf = (name: string): { path: string; content: string }[] => [{ path: name, content: name }];
  const signedBy = (key: 'ours' | 'theirs', more: object = {}): object =>
    signature({ keyPath: join(work, `${key}.pub`), ...more });
  const ANYTHING = { default: [{ type: 'insecureAcceptAnything' }] };
  const ours = (): object => ({ default: [signedBy('ours')] });
  const writePolicy = (policy: object): Promise<void> =>
    writeFile(join(work, 'policy.json'), JSON.stringify(policy));
  const stop = async (): Promise<void> => {
    if (daemon === undefined) return;
    client.close();
    await daemon.stop(0);
    daemon = undefined;
  };
  /** @param policy undefined: none */
  const start = async (policy: object | undefined): Promise<void> => {
    await stop();
    if (policy !== undefined) await writePolicy(policy);
    daemon = await Daemon.start({
      store,
      registry: registryClient,
      policy: policy === undefined ? undefined : new PolicyFile(join(work, 'policy.json')),
      socket: join(work, 'cri.sock'),
      ...PLAIN_DAEMON,
      snapshotter: { socket: join(work, 's.sock'), onLayer: (outcome) => outcomes.push(outcome) },
    });
    client = grpcClient('containerd-snapshots-v1.proto', SERVICE, join(work, 's.sock'));
  };
  const chainsOf = (layout: TinyLayout): readonly Digest[] => chainIds(layout.manifests[0].diffIds);
  const topOf = (layout: TinyLayout): string => chainsOf(layout).at(-1) ?? '';
  const failing = (made: Promise<unknown>): Promise<Refusal | undefined> =>
    made.then(
      () => undefined,
      (error: unknown) => error as ServiceError,
    );
  /**
   * As a containerd pulls an image: the next layer once this one is there. Ends with the first that is
   * refused.
   */
  const pullLayers = async (
    layout: TinyLayout,
    tag: string,
    more: Record<string, string | undefined> = {},
  ): Promise<Refusal | undefined> => {
    const chains = chainsOf(layout);
    const digests = layout.manifests[0].layers.map(({ digest }) => digest);
    for (const [at, chainId] of chains.entries()) {
      const labels = {
        [REF]: chainId,
        [`${CRI}image-ref`]: upstream.name(tag),
        [`${CRI}manifest-digest`]: layout.manifests[0].manifest.digest,
        [`${CRI}layer-digest`]: digests[at],
        [`${CRI}image-layers`]: digests.slice(at).join(','),
        ...more,
      };
      const given = Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== undefined));
      const key = `k8s.io/${at}/extract-1-abc ${chainId}`;
      const refusal = await failing(
        call(client, 'Prepare', { key, parent: chains[at - 1] ?? '', labels: given }),
      );
      if (refusal?.code !== status.ALREADY_EXISTS) return refusal ?? { code: status.OK, details: 'left' };
    }
    return undefined;
  };
  const makes = ['Prepare', 'View'] as const;
  let made = 0;
  const container = async (
    parent: string,
    labels: Record<string, string> = {},
    method: (typeof makes)[number] = 'Prepare',
  ): Promise<Refusal | undefined> => {
    made += 1;
    return await failing(call(client, method, { key: `k8s.io/9/container-${made}`, parent, labels }));
  };
  const refused = (message: string): object => ({
    code: status.FAILED_PRECONDITION,
    details: expect.stringContaining(message) as string,
  });
  const away = (): Promise<void> => upstream.registry.away();
  const held = async (): Promise<string[]> => {
    const names: string[] = [];
    for await (const { name } of store.snapshotter.listRetained('containerd')) names.push(name);
    return names;
  };
  /** As `landfall pull` under another policy, or none, long before. */
  const pulledBefore = (tag: string): Promise<unknown> =>
    pull({ store, registry: registryClient, reference: upstream.name(tag) });
  /** As whatever brings signatures along with an image, such as `landfall copy --referrers`. */
  const keepSignature = async (target: Descriptor): Promise<void> => {
    const { manifest, blobs, tag = '' } = await upstream.sign(target, OURS);
    for (const bytes of blobs.values()) await putBlob(store, manifest.mediaType, bytes);
    await store.images.put({ name: `${upstream.name('x').slice(0, -2)}:${tag}`, target: manifest });
  };

  describe('that pulls an image', () => {
    it('gets the layers of a signed one, and makes containers of it without a network from then on', async () => {
      await upstream.sign(plain.target, OURS);
      await start(ours());
      expect(await pullLayers(plain, 'plain')).toBeUndefined();
      expect(outcomes[0]).toBe('pulled');
      expect(outcomes).not.toContain('left');
      await away();
      expect(await container(topOf(plain))).toBeUndefined();
      await start(ours());
      await collectGarbage(store);
      expect(await container(topOf(plain))).toBeUndefined();
      expect(await container(topOf(plain), {}, 'View')).toBeUndefined();
    });

    it('gets those of one whose index alone is signed', async () => {
      await upstream.sign(multi.target, OURS);
      await start(ours());
      expect(await pullLayers(multi, 'multi')).toBeUndefined();
      await away();
      await start(ours());
      await collectGarbage(store);
      expect(await container(topOf(multi))).toBeUndefined();
    });

    it('asks for signatures once for all layers', async () => {
      await upstream.sign(plain.target, OURS);
      await start(ours());
      await pullLayers(plain, 'plain');
      const lines = upstream.registry.requests.filter((line) => /\.sig|referrers/.test(line));
      expect(lines).toEqual([...new Set(lines)]);
      expect(lines.length).toBeGreaterThan(0);
      // Once to see that the layers are those of the image, and once for the image itself.
      expect(upstream.registry.asked(plain.manifests[0].config.digest)).toBe(2);
      const head = `HEAD /v2/team/app/manifests/${plain.target.digest}`;
      expect(upstream.registry.requests.filter((line) => line === head)).toHaveLength(2);
    });

    it.each([
      ['nobody', undefined, 'team/app:plain'],
      ['somebody else', THEIRS, 'team/app:plain'],
    ])('gets nothing of one that %s has signed, and nothing of it is asked for', async (_, key, message) => {
      if (key !== undefined) await upstream.sign(plain.target, key);
      await start(ours());
      expect(await pullLayers(plain, 'plain')).toMatchObject(refused(message));
      expect(upstream.layerRequests()).toEqual([]);
      expect(outcomes).toEqual([]);
      expect(await held()).toEqual([]);
    });

    it('gets nothing where signatures cannot be asked for', async () => {
      await upstream.sign(plain.target, OURS);
      await start(ours());
      upstream.loseSignatures();
      expect(await pullLayers(plain, 'plain')).toMatchObject({ code: status.UNAVAILABLE });
      expect(outcomes).toEqual([]);
      upstream.registry.trouble = undefined;
      expect(await pullLayers(plain, 'plain')).toBeUndefined();
    });

    it('gets nothing where it does not say which image it pulls, and is told how to', async () => {
      await start(ours());
      const without = { [`${CRI}image-ref`]: undefined };
      expect(await pullLayers(plain, 'plain', without)).toMatchObject(
        refused('disable_snapshot_annotations = false'),
      );
      // As plain `ctr images pull` of containerd 1.7 does.
      expect(await pullLayers(plain, 'plain', { ...without, [REF]: undefined })).toMatchObject(
        refused('disable_snapshot_annotations = false'),
      );
      await start(ANYTHING);
      expect(await pullLayers(plain, 'plain', without)).toEqual({ code: status.OK, details: 'left' });
    });

    it('gets no layers that are passed off as those of a signed image', async () => {
      await upstream.sign(plain.target, OURS);
      await pulledBefore('multi');
      await start(ours());
      const forged = { [`${CRI}manifest-digest`]: plain.target.digest };
      expect(await pullLayers(multi, 'plain', forged)).toMatchObject(
        refused(`has no layers ${topOf(multi)}`),
      );
      expect(await held()).toEqual([chainsOf(plain)[0]]);
    });

    it('gets nothing of what is here already and not signed', async () => {
      await pulledBefore('plain');
      await start(ours());
      expect(await pullLayers(plain, 'plain')).toMatchObject(refused('team/app:plain'));
      expect(await held()).toEqual([]);
      await upstream.sign(plain.target, OURS);
      expect(await pullLayers(plain, 'plain')).toBeUndefined();
      expect(outcomes).toEqual(['present', 'present', 'present']);
    });

    it('is left nothing that the pull of an image refuses', async () => {
      const refusal = new TrustError('SIGNATURE_MISSING', 'it is not signed');
      const service = snapshotsService({
        store,
        remote: { bring: () => Promise.reject(refusal), held: () => undefined },
        onLayer: (outcome) => outcomes.push(outcome),
      });
      const labels = {
        [REF]: topOf(plain),
        [`${CRI}image-ref`]: upstream.name('plain'),
        [`${CRI}manifest-digest`]: plain.target.digest,
      };
      const { signal } = new AbortController();
      await expect(service.prepare({ key: 'k', parent: '', labels }, { signal })).rejects.toBe(refusal);
      expect(outcomes).toEqual([]);
    });

    it('gets, and runs, what the policy accepts unsigned', async () => {
      const { address } = upstream.registry;
      await start({
        default: [signedBy('ours')],
        transports: { docker: { [`${address}/team`]: [{ type: 'insecureAcceptAnything' }] } },
      });
      expect(await pullLayers(plain, 'plain')).toBeUndefined();
      await away();
      expect(await container(topOf(plain))).toBeUndefined();
      await start(ours());
      expect(await container(topOf(plain))).toMatchObject(refused('team/app:plain'));
    });

    it('is asked for nothing where everything is accepted', async () => {
      await start(undefined);
      await pullLayers(plain, 'plain');
      const before = [...upstream.registry.requests];
      // Layers begin side by side, so the list need not have parents before their children.
      for (let left = await held(); left.length > 0; left = await held()) {
        const parents = await Promise.all(
          left.map(async (key) => (await store.snapshotter.stat(key))?.parent),
        );
        for (const key of left.filter((name) => !parents.includes(name)))
          await call(client, 'Remove', { key });
      }
      await start(ANYTHING);
      await collectGarbage(store);
      upstream.registry.requests.length = 0;
      expect(await pullLayers(plain, 'plain')).toBeUndefined();
      expect(upstream.registry.requests.toSorted()).toEqual(before.toSorted());
      expect(await container(topOf(plain))).toBeUndefined();
    });
  });

  describe('that makes a container', () => {
    const giveLayers = async (layout: TinyLayout, tag: string): Promise<void> => {
      await pulledBefore(tag);
      await start(undefined);
      expect(await pullLayers(layout, tag)).toBeUndefined();
    };

    it.each(makes)(
      'of what was pulled under no policy is refused until signatures are kept: %s',
      async (method) => {
        await giveLayers(plain, 'plain');
        await start(ours());
        expect(await container(topOf(plain), {}, method)).toMatchObject(
          refused(`landfall pull ${upstream.name('plain')}`),
        );
        await keepSignature(plain.target);
        await away();
        expect(await container(topOf(plain), {}, method)).toBeUndefined();
        expect(await store.verifications.about([plain.target.digest])).toMatchObject([
          { name: upstream.name('plain'), policy: join(work, 'policy.json') },
        ]);
      },
    );

    it('may do so by a signature of its index', async () => {
      await giveLayers(multi, 'multi');
      await start(ours());
      expect(await container(topOf(multi))).toMatchObject(refused('team/app:multi'));
      await keepSignature(multi.target);
      await away();
      expect(await container(topOf(multi))).toBeUndefined();
    });

    it('asks no registry', async () => {
      await giveLayers(plain, 'plain');
      await upstream.sign(plain.target, OURS);
      await start(ours());
      upstream.registry.requests.length = 0;
      expect(await container(topOf(plain))).toMatchObject(refused('team/app:plain'));
      expect(upstream.registry.requests).toEqual([]);
    });

    it('is refused on layers that only begin as those of a signed image do', async () => {
      await upstream.sign(plain.target, OURS);
      await start(ours());
      await pullLayers(plain, 'plain');
      expect(await container(chainsOf(plain)[1] ?? '')).toMatchObject(refused('is not known'));
    });

    it('is refused on such layers of an image that the store has, too', async () => {
      await giveLayers(plain, 'plain');
      await keepSignature(plain.target);
      await start(ours());
      expect(await container(topOf(plain))).toBeUndefined();
      expect(await container(chainsOf(plain)[1] ?? '')).toMatchObject(refused('is not known'));
    });

    it('is refused where another key is asked for by now', async () => {
      await upstream.sign(plain.target, OURS);
      await start(ours());
      await pullLayers(plain, 'plain');
      await writePolicy({ default: [signedBy('theirs')] });
      expect(await container(topOf(plain))).toMatchObject(refused('team/app:plain'));
      await writePolicy(ours());
      expect(await container(topOf(plain))).toBeUndefined();
    });

    it('is refused on what landfall knows no image of, unless everything is accepted', async () => {
      await start(ANYTHING);
      await call(client, 'Prepare', { key: 'k', parent: '' });
      await call(client, 'Commit', { key: 'k', name: 'own' });
      expect(await container('own')).toBeUndefined();
      await writePolicy(ours());
      expect(await container('own')).toMatchObject(refused('is not known'));
      expect(await container('')).toBeUndefined();
      expect(await container('nowhere')).toMatchObject({ code: status.NOT_FOUND });
    });

    it('cannot pass it off as a layer that is being unpacked', async () => {
      await giveLayers(multi, 'multi');
      await stop();
      await upstream.sign(plain.target, OURS);
      await start(ours());
      expect(await pullLayers(plain, 'plain')).toBeUndefined();
      const labels = {
        [REF]: chainsOf(plain)[1] ?? '',
        [`${CRI}image-ref`]: upstream.name('plain'),
        [`${CRI}manifest-digest`]: plain.target.digest,
      };
      expect(await container(topOf(multi), labels)).toMatchObject(refused('team/app:multi'));
    });

    it('is refused with a policy that cannot be read', async () => {
      await upstream.sign(plain.target, OURS);
      await start(ours());
      await pullLayers(plain, 'plain');
      await rm(join(work, 'policy.json'));
      expect(await container(topOf(plain))).toMatchObject(refused('policy.json'));
    });
  });
});
