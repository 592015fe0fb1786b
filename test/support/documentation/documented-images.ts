import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RegistryClient } from '../../../src/registry/index.js';
import { peer } from '../peers.js';
import { putImage } from '../put-artifact.js';
import { makeTinyLayout, type TinyEntry, type TinyLayout } from '../tiny-image.js';

/**
 * Of the images that pages speak of: the repository at the registries of the internet, tags that are one
 * image, and what stands for it.
 */
const IMAGES: readonly (readonly [
  repository: string,
  tags: readonly string[],
  like: Stand,
  edition?: string,
])[] = [
  ['library/alpine', ['3', 'latest'], 'alpine'],
  ['library/alpine', ['3.20'], 'alpine', '20'],
  ['library/alpine', ['3.21'], 'alpine', '21'],
  ['library/busybox', ['1', 'latest'], 'alpine'],
  ['library/debian', ['trixie', 'latest'], 'debian'],
  ['library/nginx', ['1', 'latest'], 'service'],
  ['library/redis', ['7', 'latest'], 'service'],
  ['prometheus/busybox', ['latest', 'glibc', 'uclibc'], 'alpine'],
  ['prometheus/node-exporter', ['v1.8.2', 'v1.9.0'], 'service'],
  ['prometheus/prometheus', ['v3.0.0', 'v3.1.0'], 'service'],
  ['pause', ['3.9', '3.10'], 'pause'],
  ['kube-proxy', ['v1.33.0', 'v1.34.0'], 'service'],
  ['coredns/coredns', ['v1.11.3'], 'service'],
  ['team/app', ['1', '1.0'], 'service'],
  ['team/app', ['1.1'], 'service', '1.1'],
  ['team/app', ['2.0', '2', 'latest'], 'service', '2'],
  ['team/tool', ['1', '1.0'], 'alpine'],
];

type Stand = 'alpine' | 'debian' | 'service' | 'pause';

const TOOLS = ['sh', 'cat', 'echo', 'env', 'hostname', 'id', 'ls', 'ps', 'sleep', 'true', 'uname'];

const RELEASES: Readonly<Record<'alpine' | 'debian', string>> = {
  alpine: 'NAME="Alpine Linux"\nID=alpine\nPRETTY_NAME="Alpine Linux v3"\n',
  debian: 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nNAME="Debian GNU/Linux"\nID=debian\n',
};

function shell(release: string): TinyEntry[] {
  return [
    { path: 'bin/' },
    { path: 'bin/busybox', content: readFileSync(peer('busybox') ?? 'busybox'), mode: 0o755 },
    ...TOOLS.map((name) => ({ path: join('bin', name), link: 'busybox' })),
    { path: 'etc/' },
    { path: 'etc/os-release', content: release },
    { path: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\n' },
    { path: 'etc/group', content: 'root:x:0:\n' },
    { path: 'tmp/', mode: 0o1777 },
  ];
}

function layersOf(like: Stand): readonly TinyEntry[][] {
  switch (like) {
    case 'alpine':
      return [shell(RELEASES.alpine)];
    case 'debian':
      return [shell(RELEASES.debian), [{ path: 'etc/' }, { path: 'etc/debian_version', content: '13.0\n' }]];
    case 'service':
      return [
        shell(RELEASES.debian),
        [{ path: 'srv/' }, { path: 'srv/data', content: 'of the service\n' }],
        [{ path: 'srv/' }, { path: 'srv/.wh.data' }, { path: 'srv/ready', content: 'yes\n' }],
      ];
    case 'pause':
      return [[{ path: 'pause', content: '#!/bin/true\n', mode: 0o755 }]];
  }
}

/** Puts small images under the names of those that pages speak of into a registry. */
export async function putDocumentedImages(directory: string, address: string): Promise<void> {
  const layouts = new Map<string, TinyLayout>();
  await using client = new RegistryClient();
  for (const [repository, tags, like, edition = ''] of IMAGES) {
    const name = `${like}${edition}`;
    const layout = layouts.get(name) ?? (await makeLayout(join(directory, name), like, edition));
    layouts.set(name, layout);
    const remote = client.repository({ registry: address, repository });
    for (const tag of tags) await putImage(remote, layout, tag);
  }
}

function makeLayout(directory: string, like: Stand, edition: string): Promise<TinyLayout> {
  return makeTinyLayout(directory, {
    platforms: ['linux/amd64', 'linux/arm64'],
    layers: layersOf(like),
    config:
      like === 'pause'
        ? { Entrypoint: ['/pause'] }
        : { Env: ['PATH=/bin', `EDITION=${edition}`], Cmd: ['/bin/sh'] },
  });
}
