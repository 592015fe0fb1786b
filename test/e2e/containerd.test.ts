import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerdNode, whyNoNode } from '../support/containerd-node.js';
import { isRunning, removePod } from '../support/pod.js';
import { partsOf, PRINT_PARTS } from '../support/pod-image.js';

const reason = await whyNoNode();

/** Who asked for a blob of a repository, and how often. */
async function agentsOf({ registry }: ContainerdNode, repository: string, digest: string): Promise<string[]> {
  const log = await registry.accessLog();
  return log
    .filter((line) => line.includes(`"GET /v2/${repository}/blobs/${digest} `))
    .map((line) => /"([^"]*)"$/.exec(line)?.[1] ?? '');
}

describe.skipIf(reason !== undefined)('containerd without landfall', () => {
  it('runs a pod, so that what follows can tell', async () => {
    await using node = await ContainerdNode.start({ snapshotter: 'overlayfs' });
    const image = { name: 'control', layers: 3 };
    const { reference, manifests } = await node.makeImage(image);
    await node.containerd.client.pull(reference);
    const pod = await node.runPod(reference);
    expect(await node.print(pod)).toBe(partsOf(image));
    expect(await isRunning(node.containerd.client, pod)).toBe(true);
    for (const { digest } of manifests[0].layers)
      expect(await agentsOf(node, 'fleet/control', digest)).toEqual([expect.stringMatching(/^containerd\//)]);
    await removePod(node.containerd.client, pod);
  });
});

describe.skipIf(reason !== undefined)('containerd with landfall as its snapshotter', () => {
  let node: ContainerdNode;
  beforeAll(async () => {
    node = await ContainerdNode.start({ snapshotter: 'landfall' });
    await node.startLandfall();
  });
  afterAll(() => node[Symbol.asyncDispose]());

  it('pulls an image whose layers landfall fetches, each once, and runs a pod of it', async () => {
    const image = { name: 'frigate', layers: 5 };
    const { reference, manifests } = await node.makeImage(image);
    const id = await node.containerd.client.pull(reference);
    expect(id).toBe(manifests[0].config.digest);
    for (const { digest } of manifests[0].layers)
      expect(await agentsOf(node, 'fleet/frigate', digest)).toEqual([expect.stringMatching(/^landfall\//)]);
    const pod = await node.runPod(reference);
    expect(await node.print(pod)).toBe(partsOf(image));
    await removePod(node.containerd.client, pod);
  });

  it('lets two images be pulled at once, and one of them twice', async () => {
    const images = ['lugger', 'pinnace'].map((name) => ({ name, layers: 4 }));
    const pushed = await Promise.all(images.map((image) => node.makeImage(image)));
    await Promise.all([...pushed, ...pushed].map(({ reference }) => node.containerd.client.pull(reference)));
    for (const [at, { reference, manifests }] of pushed.entries()) {
      const { name = '', layers = 0 } = images[at] ?? {};
      for (const { digest } of manifests[0].layers)
        expect(await agentsOf(node, `fleet/${name}`, digest)).toEqual([expect.stringMatching(/^landfall\//)]);
      const pod = await node.runPod(reference);
      expect(await node.print(pod)).toBe(partsOf({ name, layers }));
      await removePod(node.containerd.client, pod);
    }
  });

  it.each(['k8s.io', 'dock'])('runs what ctr pulled itself, in the namespace %s', async (namespace) => {
    const image = { name: `cog-${namespace}`, layers: 3 };
    const { reference } = await node.makeImage(image);
    const ctr = (...args: string[]): Promise<string> => node.containerd.ctr('-n', namespace, ...args);
    const before = node.landfallLog.length;
    await ctr('images', 'pull', '--snapshotter', 'landfall', '--plain-http', reference);
    // ctr says nothing of the image, which is told once and not for each layer.
    expect(node.landfallLog.slice(before).filter((line) => line.includes('left to containerd'))).toEqual([
      expect.stringMatching(/^landfall: warning: layer sha256:\w+, and those on it, .* without asking/),
    ]);
    const id = `cog-${randomUUID()}`;
    expect(await ctr('run', '--rm', '--snapshotter', 'landfall', reference, id, ...PRINT_PARTS)).toBe(
      partsOf(image),
    );
  });

  it('runs a pod of an image that landfall pulled, with its registry gone', async () => {
    const registry = await node.addRegistry();
    const image = { name: 'galley', layers: 4 };
    const { reference } = await node.makeImage(image, registry);
    await node.landfallJson('pull', reference);
    await registry.stop();
    await expect.poll(() => node.containerd.client.status(reference)).toBeDefined();
    const pod = await node.runPod(reference);
    expect(await node.print(pod)).toBe(partsOf(image));
    await removePod(node.containerd.client, pod);
  });

  it('runs a pod of what a kubelet had landfall pull', async () => {
    const image = { name: 'barge', layers: 4 };
    const { reference, manifests } = await node.makeImage(image);
    const id = await node.landfallClient.pull(reference);
    expect(id).toBe(manifests[0].config.digest);
    // A kubelet names the image by the ID that the image service told.
    const pod = await node.runPod(id);
    expect(await node.print(pod)).toBe(partsOf(image));
    for (const { digest } of manifests[0].layers)
      expect(await agentsOf(node, 'fleet/barge', digest)).toEqual([expect.stringMatching(/^landfall\//)]);
    await removePod(node.containerd.client, pod);
  });

  it('serves beside overlayfs', async () => {
    const image = { name: 'raft', layers: 3 };
    const { reference } = await node.makeImage(image);
    for (const snapshotter of ['overlayfs', 'landfall']) {
      const ctr = (...args: string[]): Promise<string> => node.containerd.ctr('-n', 'both', ...args);
      await ctr('images', 'pull', '--snapshotter', snapshotter, '--plain-http', reference);
      const id = `raft-${randomUUID()}`;
      expect(await ctr('run', '--rm', '--snapshotter', snapshotter, reference, id, ...PRINT_PARTS)).toBe(
        partsOf(image),
      );
    }
  });

  it('runs a container of a user namespace, with the image’s owners inside and little on the disk', async () => {
    const { reference } = await node.makeImage({ name: 'yawl', layers: 4 });
    const ctr = (...args: string[]): Promise<string> => node.containerd.ctr('-n', 'mapped', ...args);
    const snapshotter = ['--snapshotter', 'landfall'];
    await ctr('images', 'pull', ...snapshotter, '--plain-http', reference);
    const id = `yawl-${randomUUID()}`;
    const mapped = ['--uidmap', '0:100000:65536', '--gidmap', '0:100000:65536', '--remap-labels'];
    const script =
      'cd /; busybox touch new; busybox cat /proc/self/uid_map; busybox stat -c "%n %u:%g" . new srv/*';
    const printed = await ctr('run', ...snapshotter, ...mapped, reference, id, '/bin/sh', '-c', script);
    expect(printed.trim().split(/\s*\n\s*/)).toEqual([
      expect.stringMatching(/^0 +100000 +65536$/),
      ...['.', 'new', 'srv/cargo-0', 'srv/cargo-1', 'srv/cargo-2', 'srv/cargo-3'].map(
        (name) => `${name} 0:0`,
      ),
      ...['srv/part-1', 'srv/part-2', 'srv/part-3'].map((name) => `${name} 0:0`),
    ]);
    // The image has more than a megabyte.
    const [, usage = ''] = (await ctr('snapshots', ...snapshotter, 'usage', '-b', id)).trim().split('\n');
    expect(Number(usage.trim().split(/\s+/)[1])).toBeLessThan(100_000);
    await ctr('containers', 'rm', id);
  });

  it('prepares, commits and removes fifty snapshots at once', async () => {
    const ctr = (...args: string[]): Promise<string> =>
      node.containerd.ctr('-n', 'many', 'snapshots', '--snapshotter', 'landfall', ...args);
    await ctr('prepare', 'base-active');
    await ctr('commit', 'base', 'base-active');
    const live = async (at: number): Promise<void> => {
      await ctr('prepare', `active-${at}`, 'base');
      await ctr('commit', `committed-${at}`, `active-${at}`);
      await ctr('rm', `committed-${at}`);
    };
    await Promise.all(Array.from({ length: 50 }, (_, at) => live(at)));
    await ctr('rm', 'base');
    expect((await ctr('ls')).trim().split('\n').slice(1)).toEqual([]);
  });

  it('leaves a store that is sound', async () => {
    expect(await node.landfallJson('fsck')).toMatchObject({ sound: true });
  });
});
