import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerdNode, whyNoNode } from '../support/containerd-node.js';
import { type CosignKey, cosignKey, cosignSign } from '../support/cosign.js';
import type { DockerRegistry } from '../support/docker-registry.js';
import { needsPeer } from '../support/peers.js';
import { removePod } from '../support/pod.js';
import { partsOf, PRINT_PARTS } from '../support/pod-image.js';
import { signature } from '../support/signature-policies.js';
import type { TinyLayout } from '../support/tiny-image.js';

const reason = needsPeer('cosign') ?? (await whyNoNode());
const ANYTHING = { type: 'insecureAcceptAnything' };

describe.skipIf(reason !== undefined)('a containerd node under a signature policy', () => {
  let work: string;
  let node: ContainerdNode;
  let key: CosignKey;
  /** Those of the daemon; without them it has no policy. */
  let options: readonly string[];

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-node-policy-'));
    key = await cosignKey(work, 'ours');
    node = await ContainerdNode.start({ snapshotter: 'landfall' });
    const keyPath = await node.writeFile('ours.pub', await readFile(key.public));
    const strict = [signature({ keyPath })];
    const fleet = `${node.registry.address}/fleet`;
    const policy = await node.writeFile(
      'policy.json',
      JSON.stringify({
        default: strict,
        transports: { docker: { [`${node.registry.address}/pause`]: [ANYTHING], [fleet]: strict } },
      }),
    );
    await node.writeFile('namespaces/open.json', JSON.stringify({ default: [ANYTHING] }));
    const rejecting = await node.writeFile('namespaces/closed.json', '{"default": [{"type": "reject"}]}');
    options = ['--policy', policy, '--policy-dir', join(rejecting, '..')];
  });
  afterAll(async () => {
    await node[Symbol.asyncDispose]();
    await rm(work, { recursive: true });
  });

  const restart = async (more: readonly string[]): Promise<void> => {
    await node.endLandfall('TERM');
    await node.startLandfall({ options: more });
  };
  const signed = async ({ reference, target }: TinyLayout & { reference: string }): Promise<void> =>
    cosignSign(`${reference.replace(/:1$/, '')}@${target.digest}`, { key });
  const refusal = (made: Promise<unknown>): Promise<string> =>
    made.then(
      () => 'it was not refused',
      (error: unknown) => (error as Error).message,
    );
  const layerRequests = async (
    { manifests }: TinyLayout,
    registry: DockerRegistry = node.registry,
  ): Promise<string[]> => {
    const log = await registry.accessLog();
    const gets = log.filter((line) => line.includes('"GET '));
    return gets.filter((line) => manifests[0].layers.some(({ digest }) => line.includes(digest)));
  };
  const runs = async (reference: string, image: { name: string; layers: number }): Promise<void> => {
    const pod = await node.runPod(reference);
    expect(await node.print(pod)).toBe(partsOf(image));
    await removePod(node.containerd.client, pod);
  };

  it('pulls no image for a pod that is not signed, and asks for none of its layers', async () => {
    await node.startLandfall({ options });
    const image = await node.makeImage({ name: 'smuggler', layers: 3 });
    expect(await refusal(node.containerd.client.pull(image.reference))).toContain(image.reference);
    expect(await refusal(node.containerd.client.pull(image.reference))).toMatch(/signature/i);
    expect(await layerRequests(image)).toEqual([]);
  });

  it('pulls one that is signed, and runs it without its registry and with landfall started anew', async () => {
    const registry = await node.addRegistry();
    const made = { name: 'packet', layers: 3 };
    const image = await node.makeImage(made, registry);
    await signed(image);
    await node.containerd.client.pull(image.reference);
    await registry.stop();
    await runs(image.reference, made);
    await restart(options);
    await runs(image.reference, made);
  });

  it('runs what came before there was a policy only once it is found to be signed', async () => {
    await restart([]);
    const [mine, theirs] = [
      { name: 'cutter', layers: 3 },
      { name: 'ketch', layers: 3 },
    ];
    const [byLandfall, byContainerd] = [await node.makeImage(mine), await node.makeImage(theirs)];
    await node.landfallClient.pull(byLandfall.reference);
    await node.containerd.client.pull(byContainerd.reference);
    await runs(byLandfall.reference, mine);
    await runs(byContainerd.reference, theirs);
    await restart(options);
    expect(await refusal(node.runPod(byLandfall.reference))).toContain(
      `landfall pull ${byLandfall.reference}`,
    );
    expect(await refusal(node.runPod(byContainerd.reference))).toContain('is not known');
    const policy = options.slice(0, 2);
    for (const [image, pod] of [
      [byLandfall, mine],
      [byContainerd, theirs],
    ] as const) {
      const { code, stderr } = await node.landfall('--plain-http', ...policy, 'pull', image.reference);
      expect([code, stderr]).toEqual([6, expect.stringContaining('signature') as string]);
      await signed(image);
      await node.landfallJson('--plain-http', ...policy, 'pull', image.reference);
      await runs(image.reference, pod);
    }
  });

  it('is told what to do where containerd does not say which image it pulls', async () => {
    const image = await node.makeImage({ name: 'hoy', layers: 2 });
    await signed(image);
    const ctr = (...args: string[]): Promise<string> => node.containerd.ctr('-n', 'k8s.io', ...args);
    const pulling = ctr('images', 'pull', '--snapshotter', 'landfall', '--plain-http', image.reference);
    expect(await refusal(pulling)).toContain('disable_snapshot_annotations = false');
    // It has downloaded them itself, and unpacks none.
    expect((await layerRequests(image)).filter((line) => line.includes('landfall/'))).toEqual([]);
    // What landfall knows to be signed is run for everybody.
    await node.landfallClient.pull(image.reference);
    const id = `hoy-${randomUUID()}`;
    expect(await ctr('run', '--rm', '--snapshotter', 'landfall', image.reference, id, ...PRINT_PARTS)).toBe(
      partsOf({ name: 'hoy', layers: 2 }),
    );
  });

  it("holds what a kubelet has landfall pull against the policy of the pod's namespace", async () => {
    const pod = { name: 'sloop', layers: 2 };
    const image = await node.makeImage(pod);
    const pullFor = (namespace: string): Promise<unknown> =>
      node.landfallClient.call('PullImage', {
        image: { image: image.reference },
        sandbox_config: { metadata: { name: 'p', uid: 'u', namespace, attempt: 0 } },
      });
    expect(await refusal(pullFor('default'))).toContain('SignatureValidationFailed: ');
    expect(await refusal(pullFor('closed'))).toContain('SignatureValidationFailed: ');
    expect(await layerRequests(image)).toEqual([]);
    await pullFor('open');
    expect((await layerRequests(image)).length).toBeGreaterThan(0);
    // The snapshotter is not told of namespaces, and has the daemon's own policy for all of them.
    expect(await refusal(node.runPod(image.reference))).toContain(image.reference);
    await signed(image);
    await pullFor('default');
    await runs(image.reference, pod);
  });
});
