import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStore } from '../../../src/engine/store.js';
import { pull } from '../../../src/engine/pull/pull.js';
import type { PullEvent } from '../../../src/engine/pull/pull-report.js';
import { parsePlatform } from '../../../src/spec/index.js';
import { hosts, upstreamAt } from '../../support/host-configs.js';
import { imageSteps } from '../../support/image-steps.js';
import { makeLayeredLayout } from '../../support/layered-image.js';
import { fastClient } from '../../support/registry-fixture.js';
import { type Reply, ScriptedRegistry } from '../../support/scripted-registry.js';

const reference = 'registry.example/team/app:1';
const platform = parsePlatform('linux/amd64');
type BlobEvent = Extract<PullEvent, { type: 'blob' }>;

describe('a blob that is asked for again', () => {
  let work: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-again-'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it.each<[name: string, first: Reply]>([
    ['before its first byte', { status: 503 }],
    ['after it broke off', { dropAfter: 1000 }],
  ])('is told of as such: %s', async (_name, first) => {
    const layout = await makeLayeredLayout(await mkdtemp(join(work, 'layout-')), {
      layers: 1,
      files: 1,
      fileBytes: 10_000,
    });
    const [layer] = layout.manifests[0].layers;
    if (layer === undefined) throw new Error('no layer');
    const path = `/v2/team/app/blobs/${layer.digest}`;
    const body = layout.blobs.get(layer.digest) ?? '';
    let asked = 0;
    await using upstream = await ScriptedRegistry.start(
      imageSteps(layout, {
        repository: 'team/app',
        tag: '1',
        first: ({ line }): Reply | undefined => {
          if (line !== `GET ${path}`) return undefined;
          asked += 1;
          return asked === 1 ? { body, ...first } : undefined;
        },
      }),
    );
    await using client = fastClient({ hosts: hosts(upstreamAt(upstream.address)) });
    await using store = await openStore({ root: await mkdtemp(join(work, 'root-')) });
    const states: BlobEvent['state'][] = [];
    const onEvent = (event: PullEvent): void => {
      if (event.type === 'blob' && event.digest === layer.digest) states.push(event.state);
    };
    await pull({ store, registry: client, reference, platform, onEvent });
    expect(states.filter((state) => state === 'retrying')).toHaveLength(1);
    expect(states.at(-1)).toBe('done');
    expect(asked).toBe(2);
  });
});

describe('a blob that another pull is bringing', () => {
  let work: string;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-arrivals-'));
  });
  afterAll(() => rm(work, { recursive: true, force: true }));

  it('is told of as elsewhere, with how far it is, and comes once', async () => {
    const layout = await makeLayeredLayout(join(work, 'layout'), {
      layers: 1,
      files: 1,
      fileBytes: 1_000_000,
    });
    const [layer] = layout.manifests[0].layers;
    if (layer === undefined) throw new Error('no layer');
    const root = join(work, 'root');
    await using upstream = await ScriptedRegistry.start(
      imageSteps(layout, {
        repository: 'team/app',
        tag: '1',
        blobs: { ranges: true, bytesPerSecond: 600_000 },
      }),
    );
    await using client = fastClient({ hosts: hosts(upstreamAt(upstream.address)) });
    const reported: BlobEvent[][] = [[], []];
    await Promise.all(
      reported.map(async (events) => {
        // A store of its own for each, as in two processes.
        await using store = await openStore({ root });
        const onEvent = (event: PullEvent): void => {
          if (event.type === 'blob' && event.digest === layer.digest) events.push(event);
        };
        await pull({ store, registry: client, reference, platform, onEvent });
      }),
    );
    const states = reported.map((events) => [...new Set(events.map(({ state }) => state))]);
    expect(states).toContainEqual(['waiting', 'downloading', 'done']);
    expect(states).toContainEqual(['waiting', 'elsewhere', 'present']);
    const elsewhere = reported.flat().filter(({ state }) => state === 'elsewhere');
    const bytes = elsewhere.map((event) => event.bytes);
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
    expect(bytes.some((count) => count > 0 && count < layer.size)).toBe(true);
    expect(bytes.every((count) => count <= layer.size)).toBe(true);
    const path = `/v2/team/app/blobs/${layer.digest}`;
    expect(upstream.requests.filter(({ line }) => line.endsWith(path))).toHaveLength(1);
  });
});
