import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { removeNodeImage } from '../../../src/daemon/cri/image-service.js';
import { NodeImages } from '../../../src/daemon/cri/node-images.js';
import { DaemonMetrics } from '../../../src/daemon/observe/metrics.js';
import { Pulls } from '../../../src/daemon/pulls/pulls.js';
import { openStore, type Store } from '../../../src/engine/store.js';
import { PullBudget } from '../../../src/engine/pull/pull-budget.js';
import type { RemovedImage } from '../../../src/engine/images/names.js';
import type { RegistryClient } from '../../../src/registry/index.js';
import { MetricsServer } from '../../../src/observe/metrics-server.js';
import { imageSteps } from '../../support/image-steps.js';
import { failure, fastClient } from '../../support/registry-fixture.js';
import { errorReply, ScriptedRegistry, type Step } from '../../support/scripted-registry.js';
import { makeTinyLayout, type TinyLayout } from '../../support/tiny-image.js';

describe('what a daemon shows to who observes it', () => {
  let work: string;
  let store: Store;
  let client: RegistryClient;
  let registry: ScriptedRegistry;
  let layout: TinyLayout;
  let metrics: DaemonMetrics;
  let pulls: Pulls;
  let server: MetricsServer;
  let reason: string | undefined;

  beforeEach(async () => {
    reason = undefined;
    work = await mkdtemp(join(tmpdir(), 'landfall-observe-'));
    layout = await makeTinyLayout(join(work, 'layout'));
    registry = await ScriptedRegistry.start(imageSteps(layout, { repository: 'team/app', tag: '1' }));
    registry.expect(
      ...['HEAD', 'GET'].map((method): Step => ({
        on: `${method} /v2/team/none/manifests/1`,
        times: 'any',
        ...errorReply(404, 'MANIFEST_UNKNOWN'),
      })),
    );
    store = await openStore({ root: join(work, 'store'), sync: 'none' });
    metrics = new DaemonMetrics({ store, version: '1.2.3' });
    client = fastClient({ plainHttp: true, onReceived: (host, bytes) => metrics.received(host, bytes) });
    const budget = new PullBudget();
    pulls = new Pulls({ store, registry: client, budget, progressTimeoutMs: 0, discardLayers: false });
    metrics.follow(pulls);
    server = await MetricsServer.listen({
      host: '127.0.0.1',
      port: 0,
      metrics,
      whyNotReady: () => Promise.resolve(reason),
    });
  });
  afterEach(async () => {
    await server[Symbol.asyncDispose]();
    await client.close();
    await store.close();
    await registry[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  const get = (path: string, method = 'GET'): Promise<Response> =>
    fetch(`http://${server.address}${path}`, { method, headers: { connection: 'close' } });
  /** The samples by what stands before their values. */
  const samples = async (): Promise<ReadonlyMap<string, number>> => {
    const response = await get('/metrics');
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(
      lines.map((line) => [
        line.slice(0, line.lastIndexOf(' ')),
        Number(line.slice(line.lastIndexOf(' ') + 1)),
      ]),
    );
  };

  it('is healthy, and ready as long as it is', async () => {
    expect((await get('/healthz')).status).toBe(200);
    expect((await get('/readyz')).status).toBe(200);
    reason = 'the daemon is stopping';
    const response = await get('/readyz');
    expect(response.status).toBe(503);
    expect(await response.text()).toBe('the daemon is stopping\n');
    expect((await get('/healthz')).status).toBe(200);
  });

  it('is nothing else', async () => {
    expect((await get('/')).status).toBe(404);
    expect((await get('/metrics', 'POST')).status).toBe(405);
  });

  it('counts pulls, their bytes and their layers', async () => {
    await pulls.pull({ reference: `${registry.address}/team/app:1` });
    await failure(pulls.pull({ reference: `${registry.address}/team/none:1` }));
    const found = await samples();
    const layers = layout.manifests[0].layers.length;
    const blobs = [...layout.blobs.values()].reduce((sum, { length }) => sum + length, 0);
    expect(found.get('landfall_pulls_total{result="ok",code=""}')).toBe(1);
    expect(found.get('landfall_pulls_total{result="error",code="NOT_FOUND"}')).toBe(1);
    expect(found.get('landfall_pull_duration_seconds_count{result="ok"}')).toBe(1);
    expect(found.get(`landfall_pull_bytes_total{registry="${registry.address}"}`)).toBe(blobs);
    expect(found.get(`landfall_received_bytes_total{host="${registry.address}"}`)).toBeGreaterThanOrEqual(
      blobs,
    );
    expect(found.get('landfall_layers_total{reused="false"}')).toBe(layers);
    expect(found.get('landfall_pulls_in_flight{state="transferring"}')).toBe(0);
    expect(found.get('landfall_images')).toBe(1);
    expect(found.get('landfall_store_bytes{kind="blobs"}')).toBe(blobs);
    expect(found.get('process_cpu_seconds_total')).toBeGreaterThan(0);
    await pulls.pull({ reference: `${registry.address}/team/app:1` });
    expect((await samples()).get('landfall_layers_total{reused="true"}')).toBe(layers);
  });

  it('counts images that were removed, and what that freed', async () => {
    const reference = `${registry.address}/team/app:1`;
    await pulls.pull({ reference });
    const taken = (await samples()).get('landfall_store_bytes{kind="blobs"}') ?? 0;
    const images = new NodeImages(store);
    const onRemoved = (removed: RemovedImage): Promise<void> => {
      metrics.removed(removed);
      return Promise.resolve();
    };
    // The second time there is nothing to remove.
    for (let n = 0; n < 2; n += 1) await removeNodeImage(reference, { store, images, onRemoved });
    const found = await samples();
    expect(found.get('landfall_removed_images_total')).toBe(1);
    expect(taken).toBeGreaterThan(0);
    expect(found.get('landfall_freed_bytes_total{by="image"}')).toBeGreaterThanOrEqual(taken);
    expect(found.get('landfall_store_bytes{kind="blobs"}')).toBe(0);
  });

  it('counts what clients name by two hundred names at most', async () => {
    for (let n = 0; n < 210; n += 1) metrics.received(`host-${n}.example`, 1);
    const hosts = [...(await samples()).entries()].filter(([name]) =>
      name.startsWith('landfall_received_bytes_total'),
    );
    expect(hosts).toHaveLength(201);
    expect(hosts.find(([name]) => name.includes('others'))?.[1]).toBe(10);
  });

  it('says where it cannot listen', async () => {
    const [host = '', port = ''] = server.address.split(':');
    const again = MetricsServer.listen({
      host,
      port: Number(port),
      metrics,
      whyNotReady: () => Promise.resolve(undefined),
    });
    expect(await failure(again)).toMatchObject({ code: 'IN_USE' });
  });
});
