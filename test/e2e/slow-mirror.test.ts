import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DaemonProcess } from '../support/daemon-process.js';
import { call, grpcClient } from '../support/grpc-client.js';
import { imageSteps } from '../support/image-steps.js';
import { ScriptedRegistry, type Step } from '../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../support/tiny-image.js';

/** What is at another address than its own name's is asked for with this name. */
const IMAGE = { repository: 'fleet/app', tag: '1', query: '?ns=registry.example' };
/**
 * Without a part of it for each host, a mirror has 20 seconds to answer, and 10 for a blob that does not
 * come.
 */
const PROGRESS_TIMEOUT = '8s';

describe('a mirror that makes a pull wait, within the progress timeout of a daemon', () => {
  let work: string;
  let layout: TinyLayout;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-slow-mirror-'));
    layout = await makeTinyLayout(join(work, 'layout'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it.each<[string, () => Step[]]>([
    ['never answers', () => ['HEAD *', 'GET *'].map((on) => ({ on, times: 'any', stallAfter: -1 }))],
    [
      'begins every blob, and sends nothing more',
      () => imageSteps(layout, { ...IMAGE, blobs: { ranges: true, stallAfter: 20 } }),
    ],
  ])('is left for the registry: one that %s', async (_, steps) => {
    await using mirror = await ScriptedRegistry.start(steps());
    await using registry = await ScriptedRegistry.start(imageSteps(layout, IMAGE));
    const place = await mkdtemp(join(work, 'node-'));
    await mkdir(join(place, 'hosts/registry.example'), { recursive: true });
    await writeFile(
      join(place, 'hosts/registry.example/hosts.toml'),
      `server = "${registry.origin}"\n[host."${mirror.origin}"]\n`,
    );
    await using daemon = await DaemonProcess.start(join(place, 'store'), join(place, 's.sock'), [
      ...['--hosts-dir', join(place, 'hosts'), '--progress-timeout', PROGRESS_TIMEOUT],
    ]);
    const client = grpcClient('runtime-v1.proto', 'runtime.v1.ImageService', daemon.socket);
    try {
      const image = { image: 'registry.example/fleet/app:1' };
      const { imageRef } = await call<{ imageRef: string }>(client, 'PullImage', { image });
      expect(imageRef).toBe(layout.manifests[0].config.digest);
      expect(mirror.requests).not.toEqual([]);
      expect(registry.requests).not.toEqual([]);
    } finally {
      client.close();
    }
  });
});
