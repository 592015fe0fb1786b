import { buffer } from 'node:stream/consumers';
import type { BlobInfo, BlobProvider, ReferrerFinder } from '../../content/index.js';
import {
  type Descriptor,
  type Digest,
  isIndexType,
  isManifestType,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
} from '../../spec/index.js';
import { SpecError } from '../../errors.js';
import { type Answer, etagOf, isNotModified, type RequestHeaders } from '../http/answer.js';
import { RegistryFault } from '../http/registry-fault.js';
import type { Route } from '../http/route.js';
import type { ServeSource } from './serve-source.js';

/**
 * A manifest or an index, by tag or by digest (distribution-spec: Pulling manifests). It is what the name
 * points to, whatever the client says that it accepts: to make another of it would change its digest.
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

/**
 * What a name points to goes out under the media type that the name has for it: it may be of a type unknown
 * here.
 */
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
 * A digest may name any blob, and only a manifest is to be served as one: a client that asks for a layer here
 * would otherwise get some type made up for it.
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

/** A discarded blob is never a manifest, and is not fetched back for a request for one. */
function documentsOf(source: ServeSource, repository: string): BlobProvider {
  return source.blobsOf?.(repository) ?? source.blobs;
}

function unknown(message: string): RegistryFault {
  return new RegistryFault(404, 'MANIFEST_UNKNOWN', message);
}

interface ReadManifest {
  readonly info: BlobInfo;
  readonly bytes: Buffer;
  /** What its body says, or what its fields are those of. */
  readonly mediaType: string;
}

/** Undefined where there is no such blob, or it is larger than a manifest may be. */
async function readSmallBlob(
  blobs: BlobProvider,
  digest: Digest,
): Promise<Omit<ReadManifest, 'mediaType'> | undefined> {
  const info = await blobs.info(digest);
  if (info === undefined || info.size > LIMITS.manifestBytes) return undefined;
  const descriptor = { mediaType: 'application/octet-stream', digest, size: info.size };
  return { info, bytes: await buffer(await blobs.open(descriptor)) };
}

/** Undefined where there is no such blob, or it is no manifest: a digest may name any blob. */
export async function readManifestBytes(
  blobs: BlobProvider,
  digest: Digest,
): Promise<ReadManifest | undefined> {
  const found = await readSmallBlob(blobs, digest);
  if (found === undefined) return undefined;
  try {
    return { ...found, mediaType: parseManifest(found.bytes).mediaType };
  } catch (error) {
    if (error instanceof SpecError) return undefined;
    throw error;
  }
}

const BEFORE = `{"schemaVersion":2,"mediaType":"${MEDIA_TYPES.ociIndex}","manifests":[`;
const AFTER = ']}\n';

/**
 * What refers to a digest (distribution-spec: Listing Referrers), by digest, in pages no longer than clients
 * read. It is never a 404, also for a repository that is not here: by that a client takes a registry for one
 * without this list.
 */
export async function answerReferrers(
  source: ServeSource,
  finder: ReferrerFinder,
  route: Extract<Route, { kind: 'referrers' }>,
): Promise<Answer> {
  const { query, path, digest } = route;
  // An empty filter is none.
  const wanted = query.get('artifactType') ?? '';
  const named = await source.targets(route.repository);
  const kept = (await source.keptBeside?.(route.repository, digest)) ?? [];
  const page = await pageOf(finder, [...named, ...kept], { route, wanted });
  const body = Buffer.from(`${BEFORE}${page.entries.join(',')}${AFTER}`);
  const next = page.next === undefined ? undefined : nextQuery(query, page.next);
  return {
    status: 200,
    headers: {
      'Content-Type': MEDIA_TYPES.ociIndex,
      'Content-Length': body.length,
      ...(wanted === '' ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
      ...(next === undefined ? {} : { Link: `</v2/${path}/referrers/${digest}?${next}>; rel="next"` }),
    },
    body,
  };
}

interface Page {
  /** Descriptors, as JSON. */
  readonly entries: readonly string[];
  /** The digest after which the next page begins; absent on the last one. */
  readonly next?: string;
}

async function pageOf(
  finder: ReferrerFinder,
  targets: readonly Descriptor[],
  { route, wanted }: { route: Extract<Route, { kind: 'referrers' }>; wanted: string },
): Promise<Page> {
  const last = route.query.get('last');
  const entries: string[] = [];
  let bytes = BEFORE.length + AFTER.length;
  let end: string | undefined;
  for (const found of await finder.find(targets, route.digest)) {
    if (last !== null && found <= last) continue;
    const descriptor = await finder.describe(found);
    if (descriptor === undefined || !isWanted(descriptor, wanted)) continue;
    const entry = JSON.stringify(descriptor);
    bytes += Buffer.byteLength(entry) + 1;
    const full = bytes > LIMITS.manifestBytes || entries.length === LIMITS.indexManifests;
    if (end !== undefined && full) return { entries, next: end };
    entries.push(entry);
    end = found;
  }
  return { entries };
}

function isWanted({ artifactType }: Descriptor, wanted: string): boolean {
  return wanted === '' || artifactType === wanted;
}

function nextQuery(query: URLSearchParams, last: string): string {
  const next = new URLSearchParams(query);
  next.set('last', last);
  return next.toString();
}
