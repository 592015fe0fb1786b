import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deferred } from '../../src/concurrency/index.js';
import type { PullEvent } from '../../src/engine/pull/pull-report.js';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { peerOutput } from '../support/landfall-command.js';
import { makeLayeredLayout } from '../support/layered-image.js';
import { startLyingRegistry } from '../support/lying-registry.js';
import { needsPeer } from '../support/peers.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const reason = needsPeer('docker-registry', 'skopeo');

interface Pulled {
  layers: { digest: string; chainId: string; reused: boolean }[];
  bytesDownloaded: number;
}

describe.skipIf(reason !== undefined)('many layers', () => {
  let work: string;
  let registry: DockerRegistry;

  const push = async (layout: string, tag: string, name: string): Promise<string> => {
    const reference = `${registry.address}/${name}`;
    const args = ['copy', '-q', '--dest-tls-verify=false', `oci:${layout}:${tag}`, `docker://${reference}`];
    await peerOutput('skopeo', args);
    return reference;
  };

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-sharing-'));
    registry = await startDockerRegistry();
  });

  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  it('are unpacked at the same time, while they download, and committed in order', async () => {
    const layout = await makeLayeredLayout(join(work, 'ten'), { layers: 10, files: 20, fileBytes: 20_000 });
    const digests = new Set<string>(layout.manifests[0].layers.map(({ digest }) => digest));
    // No layer arrives whole before two are being unpacked: this ends only if both overlaps are real.
    const two = deferred<undefined>();
    await using lying = await startLyingRegistry(layout, (what) =>
      digests.has(what) ? { halfUntil: two.promise } : undefined,
    );
    const unpacking = new Set<string>();
    const reference = `${lying.address}/ten:1`;
    const { code, stderr } = await landfall(
      ['--root', join(work, 'a'), '--progress', 'json', 'pull', reference],
      {
        onStart: (child) => {
          createInterface({ input: child.stderr ?? process.stdin }).on('line', (line) => {
            const event = JSON.parse(line) as PullEvent;
            if (event.type === 'layer' && event.state === 'unpacking') unpacking.add(event.chainId);
            if (unpacking.size > 1) two.resolve(undefined);
          });
        },
      },
    );
    expect(code).toBe(0);
    const events = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as PullEvent);
    const image = events.find((event) => event.type === 'image');
    const committed = events.flatMap((event) =>
      event.type === 'layer' && event.state === 'committed' ? [event.diffId] : [],
    );
    expect(committed).toEqual(image?.layers.map((layer) => layer.diffId));
    expect(unpacking.size).toBe(10);
  });

  it.each([
    ['one after the other', false],
    ['at the same moment', true],
  ])('that two images share are downloaded and unpacked once, pulled %s', async (name, together) => {
    const shared = [1, 2, 3].map((n) => [{ path: `shared-${n}`, content: `${name} ${n}` }]);
    const make = async (tag: string): Promise<string> => {
      const layout = join(work, `${name}-${tag}`);
      await makeLayeredLayout(layout, { layers: 1, files: 3, fileBytes: 1000, tag, shared });
      return push(layout, tag, `${together ? 'together' : 'apart'}-${tag}:1`);
    };
    const names = [await make('x'), await make('y')];
    const root = join(work, name);
    const before = (await registry.accessLog()).length;
    const pulled: Pulled[] = [];
    for (const batch of together ? [names] : names.map((one) => [one])) {
      pulled.push(...(await landfallJson<Pulled[]>(['--root', root, 'pull', ...batch])));
    }
    const [x, y] = pulled;
    expect(x?.layers.slice(0, 3).map((l) => l.chainId)).toEqual(y?.layers.slice(0, 3).map((l) => l.chainId));
    const requests = (await registry.accessLog()).slice(before);
    for (const { digest } of [...(x?.layers ?? []), ...(y?.layers ?? [])]) {
      expect(requests.filter((line) => line.includes(`"GET`) && line.includes(digest))).toHaveLength(1);
    }
    expect(await readdir(join(root, 'snapshots'))).toHaveLength(5);
    if (!together) expect(y?.layers.map((layer) => layer.reused)).toEqual([true, true, true, false]);
  });
});
