import { Readable } from 'node:stream';

import type { RemoteRepository } from '../../src/registry/index.js';
import { type Descriptor, type Digest, isIndexType, isManifestType } from '../../src/spec/index.js';
import type { SignatureArtifact } from './simple-signing.js';
import type { TinyLayout } from './tiny-image.js';

/** Puts signatures into a repository: under their tag, or to be found by what they refer to. */
export async function putArtifact(
  remote: RemoteRepository,
  { manifest, blobs, tag }: SignatureArtifact,
): Promise<void> {
  const put = putter(remote, blobs);
  for (const [digest, { length: size }] of blobs) {
    if (digest !== manifest.digest) await put({ mediaType: 'application/octet-stream', digest, size });
  }
  await put(manifest, tag);
}

/** Puts a small image into a repository. */
export async function putImage(remote: RemoteRepository, layout: TinyLayout, tag: string): Promise<void> {
  const put = putter(remote, layout.blobs);
  for (const { config, layers, manifest } of layout.manifests) {
    for (const blob of [config, ...layers]) await put(blob);
    await put(manifest, manifest.digest === layout.target.digest ? tag : undefined);
  }
  if (isIndexType(layout.target.mediaType)) await put(layout.target, tag);
}

type Put = (descriptor: Descriptor, tag?: string) => Promise<void>;

function putter(remote: RemoteRepository, blobs: ReadonlyMap<Digest, Buffer>): Put {
  return async (descriptor, tag) => {
    const bytes = blobs.get(descriptor.digest);
    if (bytes === undefined) throw new Error(`${descriptor.digest} is not at hand`);
    const open = (offset = 0): Promise<Readable> => Promise.resolve(Readable.from([bytes.subarray(offset)]));
    const named =
      tag !== undefined && (isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType));
    await remote.push(descriptor, open, named ? { tag } : {});
  };
}
