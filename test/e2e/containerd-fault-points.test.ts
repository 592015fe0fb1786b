import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FaultPoint } from '../../src/system/index.js';
import { ContainerdNode, whyNoNode } from '../support/containerd-node.js';
import { collectOfContainerd, retainedByLandfall, knownToContainerd } from '../support/node-accounts.js';
import { removePod } from '../support/pod.js';
import { partsOf } from '../support/pod-image.js';
import { isLong } from '../support/rounds.js';
import { StallingImage } from '../support/stalling-image.js';

/**
 * What containerd does when landfall dies: starts a pod of what it has, pulls layers by landfall, or brings
 * them itself.
 */
type Step = 'a pod' | 'a pull' | 'a pull of its own';

/** Those that come first are of every run. */
const POINTS: Readonly<Record<Step, readonly FaultPoint[]>> = {
  'a pod': ['prepare:published', 'prepare:begun', 'prepare:filled'],
  'a pull': [
    'layer-commit:recorded',
    'layer-commit:completed',
    'layer-commit:described',
    'layer-commit:synced',
  ],
  'a pull of its own': ['snapshot-commit:recorded', 'snapshot-commit:described', 'snapshot-commit:synced'],
};
const CASES = (Object.keys(POINTS) as Step[]).flatMap((step) =>
  POINTS[step].slice(0, isLong ? undefined : 1).map((point) => [point, step] as const),
);

const reason = await whyNoNode();
/** containerd tries to reach a landfall that was away only every few seconds. */
const SOON = { timeout: 15_000, interval: 200 };

describe.skipIf(reason !== undefined)('landfall under a containerd', () => {
  let node: ContainerdNode;
  /** What there is before a test. */
  let before: readonly string[];
  beforeAll(async () => {
    node = await ContainerdNode.start({ snapshotter: 'landfall' });
    await node.startLandfall();
    // The sandbox's image comes with the first pod, and stays.
    const { reference } = await node.makeImage({ name: 'first', layers: 1 });
    await node.containerd.client.pull(reference);
    await removePod(node.containerd.client, await node.runPod(reference));
    await node.containerd.client.remove(reference);
    await collectOfContainerd(node);
    before = await knownToContainerd(node);
  });
  afterAll(() => node[Symbol.asyncDispose]());

  const restart = async (faultPoint = ''): Promise<void> => {
    await node.endLandfall('TERM');
    await node.startLandfall({ faultPoint });
    await expect
      .poll(() => collectOfContainerd(node).then(() => knownToContainerd(node)), SOON)
      .toEqual(before);
  };

  it.each(CASES)('that dies at %s of %s goes on', async (point, step) => {
    const image = { name: point.replace(':', '-'), layers: 3 };
    await using served = await StallingImage.start(node, {
      ...image,
      manner: step === 'a pull of its own' ? 'refuses' : 'honest',
    });
    const { reference } = served;
    const pull = async (): Promise<string | undefined> =>
      (await node.containerd.client.ask('PullImage', { image: { image: reference } })).error?.message;
    await restart(point);
    if (step === 'a pod') {
      expect(await pull()).toBeUndefined();
      await expect(node.runPod(reference)).rejects.toThrow();
    } else expect(await pull()).toBeDefined();
    expect((await node.landfall('pulls')).stderr, 'the point is never reached').toMatch(
      // It may be just about to end.
      /no daemon serves|the daemon does not answer/,
    );

    await node.endLandfall('KILL');
    await node.startLandfall();
    await expect.poll(pull, SOON).toBeUndefined();
    const pod = await node.runPod(reference);
    expect(await node.print(pod)).toBe(partsOf(image));
    expect(await retainedByLandfall(node)).toEqual(
      expect.arrayContaining([...(await knownToContainerd(node))]),
    );
    await removePod(node.containerd.client, pod);
    await collectOfContainerd(node);
    expect(await retainedByLandfall(node)).toEqual(await knownToContainerd(node));
    await node.containerd.client.remove(reference);
    await collectOfContainerd(node);
    expect(await knownToContainerd(node)).toEqual(before);
    expect(await retainedByLandfall(node)).toEqual(before);
    await node.landfallJson('gc');
    expect(await node.countSnapshots()).toBe(before.length);
    expect(await node.landfallJson('fsck')).toMatchObject({ sound: true });
  });
});
