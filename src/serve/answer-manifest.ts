import type { BlobProvider } from '../content/index.js';
import { type Descriptor, type Digest, isIndexType, isManifestType } from '../spec/index.js';
import { type Answer, etagOf, isNotModified, type RequestHeaders } from './answer.js';
import { readManifestBytes, readSmallBlob } from './read-manifest.js';
import { RegistryFault } from './registry-fault.js';
import type { Route } from './route.js';
import type { ServeSource } from './serve-source.js';

/**
 * A manifest or an index, by tag or by digest (distribution-spec: Pulling manifests). It is what the name points to, whatever
 * the client says that it accepts: to make another of it would change its digest.
 */
export async function answerManifest(
  source: ServeSource,
  route: Extract<Route, { kind: 'manifest' }>,
  request: RequestHeaders,
): Promise<Answer> {
  const { digest, mediaType, bytes } = await ('tag' in route
    ? byTag(source, route.repository, route.tag)
    : byDigest(source, route.repository, route.digest));
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
  const target: Descriptor | undefined = await source.resolve(repository, tag);
  if (target === undefined) {
    if ((await source.tags(repository)) !== undefined) throw unknown('the tag is not known');
    throw new RegistryFault(404, 'NAME_UNKNOWN', `there is no repository ${repository} here`);
  }
  const found = await readSmallBlob(documentsOf(source, repository), target.digest);
  if (found === undefined) throw unknown(`there is no manifest ${target.digest} here`);
  return { digest: target.digest, mediaType: target.mediaType, bytes: found.bytes };
}

/**
 * A digest may name any blob, and only a manifest is to be served as one: a client that asks for a layer here would
 * otherwise get some type made up for it.
 */
async function byDigest(source: ServeSource, repository: string, digest: Digest): Promise<FoundManifest> {
  const found = await readManifestBytes(documentsOf(source, repository), digest);
  const missing = unknown(`there is no manifest ${digest} here`);
  if (found === undefined || (await source.isWithheld?.(repository, found.info)) === true) throw missing;
  if ((await source.hasManifest?.(repository, found.info)) === false) throw missing;
  // Of a body that does not say it, an image of Docker and one of OCI look alike.
  const described = await source.mediaTypeOf?.(digest);
  const known = described !== undefined && (isIndexType(described) || isManifestType(described));
  return { digest, mediaType: known ? described : found.mediaType, bytes: found.bytes };
}

/** What was dropped on purpose is never a manifest, and is not fetched back for who asks for one. */
function documentsOf(source: ServeSource, repository: string): BlobProvider {
  return source.blobsOf?.(repository) ?? source.blobs;
}

function unknown(message: string): RegistryFault {
  return new RegistryFault(404, 'MANIFEST_UNKNOWN', message);
}
