import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerdNode, whyNoNode } from '../support/containerd-node.js';
import { needsPeer } from '../support/peers.js';
import { partsOf } from '../support/pod-image.js';

const reason = (await whyNoNode()) ?? needsPeer('systemd-analyze', 'scmp_sys_resolver');
const UNIT = resolve(import.meta.dirname, '../../deploy/systemd/landfall.service');
/** Debian's, whose module for seccomp it is. */
const PYTHON = '/usr/bin/python3';
const UNDER = resolve(import.meta.dirname, '../support/under-unit.py');

describe.skipIf(reason !== undefined)('the daemon, as restricted as its unit has it', () => {
  let node: ContainerdNode;
  beforeAll(async () => {
    node = await ContainerdNode.start({ snapshotter: 'landfall' });
    await node.startLandfall({ under: [PYTHON, UNDER, UNIT] });
  });
  afterAll(() => node[Symbol.asyncDispose]());

  it.each(['landfall', 'containerd'])('serves a pod of an image that %s pulls', async (by) => {
    const image = { name: `brig-${by}`, layers: 3 };
    const { reference } = await node.makeImage(image);
    await (by === 'landfall' ? node.landfallClient : node.containerd.client).pull(reference);
    expect(await node.print(await node.runPod(reference))).toBe(partsOf(image));
    expect(await node.landfallJson('fsck')).toMatchObject({ sound: true });
  });

  it('cannot do what the unit denies it', async () => {
    const { code, stderr } = await node.place.run(PYTHON, [
      UNDER,
      UNIT,
      'mount',
      '-t',
      'tmpfs',
      'none',
      '/mnt',
    ]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/permission denied|not permitted/i);
  });
});
