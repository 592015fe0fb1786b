import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { peerOutput } from '../support/landfall-command.js';
import { needsPeer } from '../support/peers.js';
import { landfall, landfallJson } from '../support/warm-command.js';

const FIXTURE = resolve('fixtures/image');
const NAME = 'landfall/demo:1.0';

/** A place that an image lies in, as landfall calls it and as skopeo does. */
interface Place {
  readonly landfall: string;
  readonly skopeo: string;
  /** The store's root, where it is one. */
  readonly root: string;
}

const FORMS = ['registry', 'store', 'layout', 'OCI archive', 'docker archive'] as const;
type Form = (typeof FORMS)[number];

/**
 * What skopeo reads of a place: the digest of the manifest or index, and of the config of this machine's
 * platform.
 */
interface Seen {
  readonly digest: string;
  readonly config: string;
}

describe.skipIf(needsPeer('skopeo', 'docker-registry') !== undefined)('round trips', () => {
  let work: string;
  let registry: DockerRegistry;
  let places = 0;
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-round-trips-'));
    registry = await startDockerRegistry();
  });
  afterAll(async () => {
    await registry.stop();
    await rm(work, { recursive: true, force: true });
  });

  function placeOf(form: Form): Place {
    const at = join(work, `place-${(places += 1)}`);
    const root = `${at}-root`;
    switch (form) {
      case 'registry': {
        const name = `docker://${registry.address}/round/trip-${places}:1`;
        return { landfall: name, skopeo: name, root };
      }
      case 'store':
        return { landfall: 'site.test/round/trip:1', skopeo: `oci:${root}:site.test/round/trip:1`, root };
      case 'layout':
        return { landfall: `oci:${at}:1`, skopeo: `oci:${at}:1`, root };
      case 'OCI archive':
        return { landfall: `oci-archive:${at}:1`, skopeo: `oci-archive:${at}:1`, root };
      case 'docker archive':
        return { landfall: `docker-archive:${at}:a/b:1`, skopeo: `docker-archive:${at}:a/b:1`, root };
    }
  }

  /** Filled by skopeo where it can: a store by landfall. */
  async function filled(form: Form): Promise<Place> {
    const place = placeOf(form);
    if (form === 'store') {
      await landfallJson(['copy', '--all', '--root', place.root, `oci:${FIXTURE}:${NAME}`, place.landfall]);
    } else {
      const all = form === 'docker archive' ? [] : ['--all'];
      const options = ['--insecure-policy', 'copy', '--quiet', '--dest-tls-verify=false', ...all];
      await peerOutput('skopeo', [...options, `oci:${FIXTURE}:${NAME}`, place.skopeo]);
    }
    return place;
  }

  async function seen({ skopeo }: Place): Promise<Seen> {
    const inspect = ['inspect', '--tls-verify=false'];
    const raw = await peerOutput('skopeo', [...inspect, '--raw', skopeo]);
    const config = await peerOutput('skopeo', [...inspect, '--config', '--raw', skopeo]);
    return { digest: digestOf(raw), config: digestOf(config) };
  }

  const pairs = FORMS.flatMap((from) => FORMS.map((to) => [from, to] as const));
  it.each(pairs)('%s to %s: what skopeo has put there, skopeo reads here', async (from, to) => {
    const [source, destination] = [await filled(from), placeOf(to)];
    const one = from === 'docker archive' || to === 'docker archive';
    // From one store to another it takes something between; two stores are one each to a command.
    const store = from === 'store' && to === 'store';
    const names = {
      source: source.landfall,
      destination: store ? 'site.test/round/other:1' : destination.landfall,
    };
    const root = from === 'store' ? source.root : destination.root;
    const all = one ? [] : ['--all'];
    const report = await landfallJson<{ digest: string; outcome: string }>([
      ...['copy', '--root', root, ...all, names.source, names.destination],
    ]);
    expect(report.outcome).toBe('copied');
    const there = store
      ? { ...destination, landfall: names.destination, skopeo: `oci:${root}:${names.destination}` }
      : destination;
    const [before, after] = [await seen(source), await seen(there)];
    expect(after.config).toBe(before.config);
    if (!one) expect(after.digest).toBe(before.digest);
    // skopeo makes a manifest of its own for a docker archive; everything else has ours.
    if (to !== 'docker archive') expect(after.digest).toBe(report.digest);
    const verified = await landfall(['verify', '--root', root, there.landfall]);
    expect(verified).toMatchObject({ code: 0 });
  });
});

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}
