import { buffer } from 'node:stream/consumers';

import type { BlobProvider } from '../content/index.js';
import { LandfallError } from '../errors.js';
import { type Digest, LIMITS, parseManifest } from '../spec/index.js';
import { type Answer, etagOf, isNotModified, type RequestHeaders } from './answer.js';
import { RegistryFault } from './registry-fault.js';
import type { Route } from './route.js';
import type { ServeSource } from './serve-source.js';

/** A manifest or an index, by tag or by digest (distribution-spec: Pulling manifests). */
export async function answerManifest(
  source: ServeSource,
  route: Extract<Route, { kind: 'manifest' }>,
  request: RequestHeaders,
): Promise<Answer> {
  const { digest, mediaType, bytes } = await ('tag' in route
    ? byTag(source, route.repository, route.tag)
    : byDigest(source.blobs, route.digest));
  const etag = etagOf(digest);
  const headers = { 'Docker-Content-Digest': digest, ETag: etag };
  if (isNotModified(request, etag)) return { status: 304, headers };
  return {
    status: 200,
    headers: { ...headers, 'Content-Type': mediaType, 'Content-Length': bytes.length },
    body: bytes,
  };
}

interface FoundManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** What a name points to goes out under the media type that the name has for it: it may be of a type unknown here. */
async function byTag(source: ServeSource, repository: string, tag: string): Promise<FoundManifest> {
  const target = await source.resolve(repository, tag);
  if (target === undefined) {
    if ((await source.tags(repository)) !== undefined) throw unknown('the tag is not known');
    throw new RegistryFault(404, 'NAME_UNKNOWN', `there is no repository ${repository} here`);
  }
  const bytes = await readManifest(source.blobs, target.digest);
  return { digest: target.digest, mediaType: target.mediaType, bytes };
}

/**
 * A digest may name any blob, and only a manifest is to be served as one: a client that asks for a layer here would
 * otherwise get some type made up for it.
 */
async function byDigest(blobs: BlobProvider, digest: Digest): Promise<FoundManifest> {
  const bytes = await readManifest(blobs, digest);
  try {
    return { digest, mediaType: parseManifest(bytes).mediaType, bytes };
  } catch (error) {
    if (error instanceof LandfallError) throw unknown(`the content of ${digest} is not a manifest`);
    throw error;
  }
}

async function readManifest(blobs: BlobProvider, digest: Digest): Promise<Buffer> {
  const info = await blobs.info(digest);
  if (info === undefined) throw unknown(`there is no manifest ${digest} here`);
  if (info.size > LIMITS.manifestBytes) throw unknown(`the content of ${digest} is too large for a manifest`);
  return buffer(await blobs.open({ mediaType: 'application/octet-stream', digest, size: info.size }));
}

function unknown(message: string): RegistryFault {
  return new RegistryFault(404, 'MANIFEST_UNKNOWN', message);
}
