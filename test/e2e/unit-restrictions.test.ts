import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerdNode, whyNoNode } from '../support/containerd-node.js';
import { type CosignKey, cosignKey, cosignSign } from '../support/cosign.js';
import { DEAD_ADDRESS } from '../support/host-configs.js';
import type { CommandResult } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { partsOf } from '../support/pod-image.js';
import { signature } from '../support/signature-policies.js';

const PEERS = ['systemd-analyze', 'scmp_sys_resolver', 'cosign'] as const;
const reason = (await whyNoNode()) ?? needsPeer(...PEERS);
const UNIT = resolve(import.meta.dirname, '../../deploy/systemd/landfall.service');
/** Debian's, whose module for seccomp it is. */
const PYTHON = '/usr/bin/python3';
const UNDER = resolve(import.meta.dirname, '../support/under-unit.py');
const ANYTHING = { type: 'insecureAcceptAnything' };

describe.skipIf(reason !== undefined)('the daemon, as restricted as its unit has it', () => {
  let work: string;
  let node: ContainerdNode;
  let key: CosignKey;
  let collector: Server;
  let spans = 0;
  /** A command under the restrictions; the node's directory stands for the state and the run-time directory. */
  let under: readonly string[];

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-unit-'));
    key = await cosignKey(work, 'ours');
    collector = createServer((request, response) => {
      spans += 1;
      request.resume().on('end', () => response.end('{}'));
    });
    await new Promise<void>((listening) => void collector.listen(0, '127.0.0.1', listening));
    const { port } = collector.address() as AddressInfo;

    node = await ContainerdNode.start({ snapshotter: 'landfall' });
    under = [PYTHON, UNDER, UNIT, resolve(node.root, '..')];
    const keyPath = await node.writeFile('ours.pub', await readFile(key.public));
    const docker = { [`${node.registry.address}/fleet/sealed`]: [signature({ keyPath })] };
    const policy = JSON.stringify({ default: [ANYTHING], transports: { docker } });
    const mirrored = `server = "http://${DEAD_ADDRESS}"\n[host."http://${node.registry.address}"]\n`;
    const hosts = await node.writeFile('hosts/far.example/hosts.toml', mirrored);
    await node.startLandfall({
      under: [`OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:${port}`, ...under],
      options: [
        ...['--hosts-dir', resolve(hosts, '../..'), '--policy', await node.writeFile('policy.json', policy)],
        ...['--metrics', '127.0.0.1:0'],
      ],
    });
  });
  afterAll(async () => {
    await node[Symbol.asyncDispose]();
    collector.close();
    await rm(work, { recursive: true });
  });

  const restricted = (...command: readonly string[]): Promise<CommandResult> => {
    const [python = '', ...rest] = [...under, ...command];
    return node.place.run(python, rest);
  };
  const sound = (): Promise<unknown> => node.landfallJson('fsck');

  it.each(['landfall', 'containerd'])('serves a pod of an image that %s pulls', async (by) => {
    const image = { name: `brig-${by}`, layers: 3 };
    const { reference } = await node.makeImage(image);
    await (by === 'landfall' ? node.landfallClient : node.containerd.client).pull(reference);
    expect(await node.print(await node.runPod(reference))).toBe(partsOf(image));
    expect(await sound()).toMatchObject({ sound: true });
  });

  it('serves a pod of an image that comes from a mirror', async () => {
    const image = { name: 'lugger', layers: 3 };
    const { reference } = await node.makeImage(image);
    const far = reference.replace(node.registry.address, 'far.example');
    await node.landfallClient.pull(far);
    expect(await node.print(await node.runPod(far))).toBe(partsOf(image));
    expect(await sound()).toMatchObject({ sound: true });
  });

  it('loads what it loads late: for zstd, signatures, and traces', async () => {
    const image = { name: 'sealed/dhow', layers: 2, compression: 'zstd' } as const;
    const { reference, target } = await node.makeImage(image);
    await expect(node.landfallClient.pull(reference)).rejects.toThrow(/signature/i);
    await cosignSign(`${reference.replace(/:1$/, '')}@${target.digest}`, { key });
    await node.landfallClient.pull(reference);
    expect(await node.print(await node.runPod(reference))).toBe(partsOf(image));
    expect(await sound()).toMatchObject({ sound: true });
    await node.endLandfall('TERM');
    expect(spans).toBeGreaterThan(0);
  });

  it.each([
    ['mount', 'mount', '-t', 'tmpfs', 'none', '/mnt'],
    ['write to the system', 'touch', '/etc/landfall-was-here'],
    ['open a raw socket', PYTHON, '-c', 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'],
  ])('cannot %s', async (_, ...command) => {
    const { code, stderr } = await restricted(...command);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/permission denied|not permitted|read-only/i);
  });
});
