import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ContainerdNode, whyNoNode } from '../support/containerd-node.js';
import { removePod } from '../support/pod.js';
import { partsOf } from '../support/pod-image.js';

const reason = await whyNoNode();
/** What is free is free once containerd's garbage collection has been; it waits a little for more to do. */
const COLLECTED = { timeout: 30_000, interval: 200 };

describe.skipIf(reason !== undefined)('an image that both containerd and landfall know', () => {
  let node: ContainerdNode;
  /** Layers that there were before a test. */
  let before: number;
  beforeAll(async () => {
    node = await ContainerdNode.start({ snapshotter: 'landfall' });
    await node.startLandfall();
    // The sandbox's image comes with the first pod, and stays.
    const { reference } = await node.makeImage({ name: 'first', layers: 1 });
    await node.containerd.client.pull(reference);
    await removePod(node.containerd.client, await node.runPod(reference));
    await node.containerd.client.remove(reference);
    await vi.waitFor(async () => expect(await node.countSnapshots()).toBe(1), COLLECTED);
  });
  beforeEach(async () => {
    before = await node.countSnapshots();
  });
  afterAll(() => node[Symbol.asyncDispose]());

  it('frees its space when containerd removes what it pulled', async () => {
    const { reference } = await node.makeImage({ name: 'cutter', layers: 4 });
    await node.containerd.client.pull(reference);
    expect(await node.countSnapshots()).toBe(before + 5);
    await node.containerd.client.remove(reference);
    await expect.poll(() => node.countSnapshots(), COLLECTED).toBe(before);
  });

  it.each(['landfall', 'containerd'])(
    'stays for a pod when %s removes it, and goes with the pod',
    async (by) => {
      const image = { name: `ketch-${by}`, layers: 3 };
      const { reference } = await node.makeImage(image);
      await node.landfallClient.pull(reference);
      const pod = await node.runPod(reference);
      const clients = { landfall: node.landfallClient, containerd: node.containerd.client };
      await (by === 'landfall' ? clients.landfall : clients.containerd).remove(reference);
      await node.landfallJson('gc');
      expect(await node.print(pod)).toBe(partsOf(image));
      await removePod(node.containerd.client, pod);
      for (const client of Object.values(clients)) await client.remove(reference);
      await expect.poll(() => node.countSnapshots(), COLLECTED).toBe(before);
    },
  );

  it('stays for landfall when containerd removes it, and can run again', async () => {
    const image = { name: 'sloop', layers: 3 };
    const { reference } = await node.makeImage(image);
    const id = await node.landfallClient.pull(reference);
    await expect.poll(() => node.containerd.client.status(reference)).toBeDefined();
    await node.containerd.client.remove(reference);
    await expect.poll(() => node.containerd.client.status(reference)).toBeUndefined();
    expect(await node.landfallClient.status(reference)).toMatchObject({ id });
    expect(await node.landfallJson('fsck')).toMatchObject({ sound: true });
    await node.landfallClient.pull(reference);
    const pod = await node.runPod(reference);
    expect(await node.print(pod)).toBe(partsOf(image));
    await removePod(node.containerd.client, pod);
    await node.landfallClient.remove(reference);
    await node.containerd.client.remove(reference);
    await expect.poll(() => node.countSnapshots(), COLLECTED).toBe(before);
  });

  it('stays when landfall collects what no image of its own needs', async () => {
    const image = { name: 'yawl', layers: 3 };
    const { reference } = await node.makeImage(image);
    await node.containerd.client.pull(reference);
    await node.landfallJson('gc');
    const pod = await node.runPod(reference);
    expect(await node.print(pod)).toBe(partsOf(image));
    await removePod(node.containerd.client, pod);
    await node.containerd.client.remove(reference);
    await expect.poll(() => node.countSnapshots(), COLLECTED).toBe(before);
  });

  it('runs once containerd has let go of its layers’ blobs', async () => {
    const image = { name: 'brig', layers: 3 };
    const { reference } = await node.makeImage(image);
    await node.containerd.client.pull(reference);
    await node.containerd.ctr('-n', 'k8s.io', 'content', 'prune', 'references');
    const pod = await node.runPod(reference);
    expect(await node.print(pod)).toBe(partsOf(image));
    await removePod(node.containerd.client, pod);
    await node.containerd.client.remove(reference);
    await expect.poll(() => node.countSnapshots(), COLLECTED).toBe(before);
  });

  it('leaves a store that is sound', async () => {
    expect(await node.landfallJson('fsck')).toMatchObject({ sound: true });
  });
});
