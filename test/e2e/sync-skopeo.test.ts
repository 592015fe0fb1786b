import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.js';
import { peerOutput } from '../support/landfall-command.js';
import { addImage } from '../support/memory-images.js';
import { mirrorSet, pushAll } from '../support/mirror-set.js';
import { needsPeer } from '../support/peers.js';
import { digestAt, repositoriesOf, tagsOf } from '../support/registry-facts.js';
import { landfall } from '../support/warm-command.js';

/** Every tag of a registry with its digest. */
async function everything(address: string): Promise<Record<string, string | undefined>> {
  const found: Record<string, string | undefined> = {};
  for (const name of await repositoriesOf(address)) {
    for (const tag of await tagsOf(address, name))
      found[`${name}:${tag}`] = await digestAt(address, name, tag);
  }
  return found;
}

describe.skipIf(needsPeer('docker-registry', 'skopeo') !== undefined)('a file of skopeo sync', () => {
  let work: string;
  let file: string;
  let source: DockerRegistry;

  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'landfall-skopeo-'));
    source = await startDockerRegistry();
    const set = mirrorSet({ repositories: 4, tags: 4 });
    for (const [at, tag] of ['v2.0.0', '3.1', '2024', '1.9.0-rc.1', 'edge'].entries())
      addImage(set.repository('memory.lan/team/r3'), { tag, layers: [`version ${at}`] });
    await pushAll(set, source.address);
    file = join(work, 'skopeo.yaml');
    await writeFile(
      file,
      `${source.address}:
  tls-verify: false
  images:
    team/r0: []
    team/r1:
      - 1.0.0
      - "1.2.0"
  images-by-tag-regex:
    team/r2: ^1\\.[12]
  images-by-semver:
    team/r3: ">= 1.3"
`,
    );
  });
  afterAll(async () => {
    await source.stop();
    await rm(work, { recursive: true, force: true });
  });

  test.each([
    ['alone', []],
    ['with --all', ['--all']],
  ])('is mirrored as skopeo does it, %s', async (_name, args) => {
    await using theirs = await startDockerRegistry();
    await using ours = await startDockerRegistry();
    const options = ['--preserve-digests', '--src-tls-verify=false', '--dest-tls-verify=false'];
    const ends = ['--src', 'yaml', '--dest', 'docker', file, `${theirs.address}/hub`];
    await peerOutput('skopeo', ['sync', ...args, ...options, ...ends]);
    const result = await landfall(['sync', '-f', file, '--to', `docker://${ours.address}/hub`, ...args]);
    expect(result.stderr).toContain('is a file of skopeo sync: took 4 repositories of 1 registries');
    expect(result.code).toBe(0);
    const copied = await everything(ours.address);
    expect(Object.keys(copied).length).toBeGreaterThan(10);
    expect(copied).toEqual(await everything(theirs.address));
  });

  test('with --scoped keeps the registry in the name', async () => {
    await using ours = await startDockerRegistry();
    const result = await landfall(['sync', '-f', file, '--to', `docker://${ours.address}/hub`, '--scoped']);
    expect(result.code).toBe(0);
    const scope = `hub/${source.address.replace(':', '_')}/team`;
    expect(await repositoriesOf(ours.address)).toEqual(
      ['r0', 'r1', 'r2', 'r3'].map((name) => `${scope}/${name}`),
    );
  });
});
