import { RegistryClient } from '../../src/registry/index.js';
import { copy } from '../../src/transfer/copy/copy.js';
import { CopySession } from '../../src/transfer/copy/copy-session.js';
import { RegistryTransport } from '../../src/transfer/transports/registry-transport.js';
import { addImage, addIndex, AMD64, ARM64 } from './memory-images.js';
import { MemoryTransport, type MemoryRepository } from './memory-transport.js';

/**
 * Puts all that a registry in memory has, at its tags, into a real one that speaks HTTP; nothing is removed.
 */
export async function pushAll(memory: MemoryTransport, address: string): Promise<void> {
  await using registry = new RegistryClient({ plainHttp: true });
  const place = new RegistryTransport({ registry, host: address });
  const session = new CopySession();
  for (const name of await memory.repositories()) {
    const source = memory.repository(name);
    const destination = place.repository(`${address}/${name.slice(name.indexOf('/') + 1)}`);
    for (const tag of Object.keys(source.everything.tags))
      await copy(source, destination, { from: tag, tag, platforms: 'all', referrers: {} }, session);
  }
}

export interface MirrorSetOptions {
  readonly repositories: number;
  /** In each repository. */
  readonly tags: number;
  /** Of the layer that is each image's own, in bytes. */
  readonly layerBytes?: number;
}

/**
 * Repositories `team/r0`, `team/r1`, … with tags `1.0.0`, `1.1.0`, … that share a layer; every third image is
 * for two platforms.
 */
export function mirrorSet({ repositories, tags, layerBytes = 1000 }: MirrorSetOptions): MemoryTransport {
  const place = new MemoryTransport('memory.lan');
  for (let at = 0; at < repositories; at += 1) {
    const repository = place.repository(`memory.lan/team/r${at}`);
    for (let tag = 0; tag < tags; tag += 1) addOne(repository, { at, tag, layerBytes });
  }
  return place;
}

function addOne(
  repository: MemoryRepository,
  { at, tag, layerBytes }: { readonly at: number; readonly tag: number; readonly layerBytes: number },
): void {
  const own = `${at} ${tag} `.padEnd(layerBytes, String.fromCodePoint(97 + ((at + tag) % 26)));
  const name = `1.${tag}.0`;
  const created = new Date(Date.UTC(2024, tag, 1)).toISOString();
  if ((at + tag) % 3 !== 2) {
    addImage(repository, { tag: name, layers: ['shared by all', own], created });
    return;
  }
  const amd = addImage(repository, { layers: ['shared by all', own], created });
  const arm = addImage(repository, { layers: ['shared by all', `${own}arm`], platform: ARM64, created });
  addIndex(
    repository,
    [
      [amd, AMD64],
      [arm, ARM64],
    ],
    name,
  );
}
