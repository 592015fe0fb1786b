import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerdNode, whyNoNode } from '../support/containerd-node.js';
import type { CriClient } from '../support/cri-client.js';
import {
  collectOfContainerd,
  countLeases,
  retainedByLandfall,
  knownToContainerd,
} from '../support/node-accounts.js';
import { removePod } from '../support/pod.js';
import { partsOf } from '../support/pod-image.js';
import { StallingImage } from '../support/stalling-image.js';

type Asked = ReturnType<CriClient['ask']>;

interface DiskUsage {
  readonly partials: { readonly count: number; readonly bytes: number };
}

const reason = await whyNoNode();
const SOON = { timeout: 15_000, interval: 200 };
const LAYERS = 4;
/** Long enough for what arrives at once, and for nobody to have begun anew with what stalls. */
const DEADLINE_MS = 6_000;
/** Far less than has come when the client gives up. */
const UNDER_WAY_BYTES = 32_000;

describe.skipIf(reason !== undefined)('a pull of containerd’s that breaks off', () => {
  let node: ContainerdNode;
  beforeAll(async () => {
    node = await ContainerdNode.start({ snapshotter: 'landfall' });
    await node.startLandfall();
    const { reference } = await node.makeImage({ name: 'first', layers: 1 });
    await node.containerd.client.pull(reference);
    await removePod(node.containerd.client, await node.runPod(reference));
  });
  afterAll(() => node[Symbol.asyncDispose]());

  const partials = async (): Promise<DiskUsage['partials']> =>
    (await node.landfallJson<DiskUsage>('df')).partials;

  const ask = (image: StallingImage, limits?: { readonly timeoutMs: number }): Asked =>
    node.containerd.client.ask('PullImage', { image: { image: image.reference } }, limits);

  /** Waits until half of its layers is in the store, and is all that came. */
  const expectHalves = async (image: StallingImage): Promise<void> => {
    await expect.poll(partials, SOON).toMatchObject(image.halves);
    expect(image.sent.bytes).toBe(image.halves.bytes);
  };

  /** Nothing is under way, and what had arrived is there. */
  const expectKept = async (image: StallingImage): Promise<void> => {
    await expect.poll(() => node.landfallJson('pulls'), SOON).toEqual([]);
    await expect.poll(() => image.underWay, SOON).toBe(0);
    expect(await partials()).toMatchObject(image.halves);
    expect(await node.containerd.client.status(image.reference)).toBeUndefined();
  };

  /**
   * The pull goes on from where it was, and all is well in the end.
   *
   * @param underWay how many bytes may have been on their way when it broke off, and are sent again
   */
  const expectGoesOn = async (image: StallingImage, name: string, underWay = 0): Promise<void> => {
    image.manner = 'honest';
    // containerd tries to reach a landfall that was away only every few seconds.
    await expect.poll(async () => (await ask(image)).error?.message, SOON).toBeUndefined();
    const { bytes, twice } = image.sent;
    expect(bytes - twice).toBe(image.bytes);
    expect(twice).toBeLessThanOrEqual(underWay);
    const pod = await node.runPod(image.reference);
    expect(await node.print(pod)).toBe(partsOf({ name, layers: LAYERS }));
    await removePod(node.containerd.client, pod);
    await collectOfContainerd(node);
    expect(await retainedByLandfall(node)).toEqual(await knownToContainerd(node));
    await node.landfallJson('gc');
    expect(await partials()).toMatchObject({ count: 0, bytes: 0 });
    expect(await countLeases(node)).toBe(0);
    expect(await node.landfallJson('fsck')).toMatchObject({ sound: true });
  };

  it('fails when landfall is killed, and goes on once that is back', async () => {
    const image = { name: 'killed', layers: LAYERS };
    await using served = await StallingImage.start(node, { ...image, manner: 'stalls' });
    const pulled = ask(served);
    await expectHalves(served);
    await node.endLandfall('KILL');
    expect((await pulled).error).toBeDefined();
    await node.startLandfall();
    await expectKept(served);
    await expectGoesOn(served, image.name);
  });

  it.each(['TERM', 'KILL'] as const)(
    'ends when containerd does by SIG%s, and goes on afterwards',
    async (signal) => {
      const image = { name: `left-${signal.toLowerCase()}`, layers: LAYERS };
      await using served = await StallingImage.start(node, { ...image, manner: 'stalls' });
      const pulled = ask(served);
      await expectHalves(served);
      await node.endContainerd(signal);
      expect((await pulled).error).toMatchObject({ code: 'Unavailable' });
      await expect.poll(() => node.landfallJson('pulls'), SOON).toEqual([]);
      await node.containerd.restart();
      await expectKept(served);
      await expectGoesOn(served, image.name);
    },
  );

  it('ends at the client’s deadline, and goes on with the next', async () => {
    const image = { name: 'late', layers: LAYERS };
    await using served = await StallingImage.start(node, { ...image, manner: 'stalls' });
    const pulled = ask(served, { timeoutMs: DEADLINE_MS });
    await expectHalves(served);
    expect(await node.landfallJson('pulls')).toHaveLength(1);
    expect((await pulled).error).toMatchObject({ code: 'DeadlineExceeded' });
    await expectKept(served);
    await expectGoesOn(served, image.name);
  });

  it('goes on for another client when one gives up', async () => {
    const image = { name: 'shared', layers: LAYERS };
    await using served = await StallingImage.start(node, { ...image, manner: 'slow' });
    const first = ask(served, { timeoutMs: DEADLINE_MS / 2 });
    const second = ask(served);
    expect((await first).error).toMatchObject({ code: 'DeadlineExceeded' });
    expect(served.sent.bytes).toBeLessThan(served.bytes);
    // containerd asks for a layer once at a time, for the second client when the first has gone.
    await expect.poll(() => node.landfallJson('pulls'), SOON).toHaveLength(1);
    expect((await second).error).toBeUndefined();
    await expectGoesOn(served, image.name, UNDER_WAY_BYTES);
  });
});
