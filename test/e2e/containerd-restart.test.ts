import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerdNode, whyNoNode } from '../support/containerd-node.js';
import { isRunning, type Pod, removePod } from '../support/pod.js';
import { partsOf } from '../support/pod-image.js';

const reason = await whyNoNode();
const IMAGE = { name: 'clipper', layers: 4 };

describe.skipIf(reason !== undefined)('a pod on landfall’s snapshots', () => {
  let node: ContainerdNode;
  let reference: string;
  let pod: Pod;
  beforeAll(async () => {
    node = await ContainerdNode.start({ snapshotter: 'landfall' });
    await node.startLandfall();
    ({ reference } = await node.makeImage(IMAGE));
    await node.containerd.client.pull(reference);
    pod = await node.runPod(reference);
  });
  afterAll(() => node[Symbol.asyncDispose]());

  /** containerd takes a few seconds to reach a landfall that was away. A kubelet tries again too. */
  const runSoon = async (): Promise<Pod> => {
    for (let left = 20; ; left -= 1) {
      try {
        return await node.runPod(reference);
      } catch (error) {
        if (left === 0 || !String(error).includes('connection refused')) throw error;
        await sleep(500);
      }
    }
  };

  /** It still runs and finds its files, and another one can be started. */
  const expectPods = async (): Promise<void> => {
    expect(await isRunning(node.containerd.client, pod)).toBe(true);
    expect(await node.print(pod)).toBe(partsOf(IMAGE));
    const another = await runSoon();
    expect(await node.print(another)).toBe(partsOf(IMAGE));
    await removePod(node.containerd.client, another);
  };

  it('runs while landfall is not there', async () => {
    await node.endLandfall('KILL');
    expect(await isRunning(node.containerd.client, pod)).toBe(true);
    expect(await node.print(pod)).toBe(partsOf(IMAGE));
  });

  it('goes on when landfall is back', async () => {
    await node.startLandfall();
    await expectPods();
  });

  it('goes on when containerd is started again', async () => {
    await node.containerd.restart();
    await expectPods();
  });

  it('goes on when containerd is started again before landfall', async () => {
    await node.endLandfall('TERM');
    await node.containerd.restart();
    await node.startLandfall();
    // containerd's CRI forgets images whose snapshots it cannot ask for when it starts, and tries to reach
    // landfall only every few seconds; a kubelet has such images pulled again, until that succeeds.
    const pull = async (): Promise<string | undefined> =>
      (await node.containerd.client.ask('PullImage', { image: { image: reference } })).error?.message;
    await expect.poll(pull, { timeout: 20_000, interval: 500 }).toBeUndefined();
    await expectPods();
  });

  it('finds an image that is pulled afterwards', async () => {
    const image = { name: 'tender', layers: 3 };
    const pushed = await node.makeImage(image);
    await node.containerd.client.pull(pushed.reference);
    const another = await node.runPod(pushed.reference);
    expect(await node.print(another)).toBe(partsOf(image));
    await removePod(node.containerd.client, another);
  });

  it('leaves a store that is sound', async () => {
    await removePod(node.containerd.client, pod);
    expect(await node.landfallJson('fsck')).toMatchObject({ sound: true });
  });
});
