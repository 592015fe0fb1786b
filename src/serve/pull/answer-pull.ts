import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { BlobProvider, ByteRange, ReferrerFinder } from '../../content/index.js';
import { SpecError } from '../../errors.js';
import {
  type Digest,
  familiarReference,
  isIndexType,
  isManifestType,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
  parseReference,
} from '../../spec/index.js';
import {
  type Answer,
  etagOf,
  isNotModified,
  jsonAnswer,
  RegistryFault,
  type RequestHeaders,
} from '../http/answer.js';
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
  const target = await source.resolve(repository, tag);
  if (target === undefined) {
    if ((await source.tags(repository)) !== undefined) throw unknown('the tag is not known');
    throw noRepository(repository);
  }
  const { digest, mediaType } = target;
  const bytes = await readSmallBlob(source.blobs, digest);
  if (bytes === undefined) throw unknown(`there is no manifest ${digest} here`);
  return { digest, mediaType, bytes };
}

/**
 * A digest may name any blob, and only a manifest is to be served as one: a client that asks for a layer here
 * would otherwise get some type made up for it.
 */
async function byDigest(source: ServeSource, repository: string, digest: Digest): Promise<FoundManifest> {
  const missing = unknown(`there is no manifest ${digest} here`);
  const bytes = await readSmallBlob(source.blobs, digest);
  if (bytes === undefined || (await source.isWithheld?.(repository, digest)) === true) throw missing;
  const mediaType = mediaTypeIn(bytes);
  if (mediaType === undefined || (await source.hasManifest?.(repository, digest)) === false) throw missing;
  // Of a body that does not say it, an image of Docker and one of OCI look alike.
  const described = await source.mediaTypeOf?.(digest);
  const known = described !== undefined && (isIndexType(described) || isManifestType(described));
  return { digest, bytes, mediaType: known ? described : mediaType };
}

function unknown(message: string): RegistryFault {
  return new RegistryFault(404, 'MANIFEST_UNKNOWN', message);
}

/** Undefined where there is no such blob, or it is larger than a manifest may be. */
async function readSmallBlob(blobs: BlobProvider, digest: Digest): Promise<Buffer | undefined> {
  const info = await blobs.info(digest);
  if (info === undefined || info.size > LIMITS.manifestBytes) return undefined;
  return await buffer(await blobs.open({ mediaType: OCTETS, digest, size: info.size }));
}

/** The type that the body of a manifest says, or whose fields it has; undefined where it is no manifest. */
function mediaTypeIn(bytes: Buffer): string | undefined {
  try {
    return parseManifest(bytes).mediaType;
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
  const { query, path, repository, digest } = route;
  // An empty filter is none.
  const wanted = query.get('artifactType') ?? '';
  const last = query.get('last');
  const targets = [
    ...(await source.targets(repository)),
    ...((await source.keptBeside?.(repository, digest)) ?? []),
  ];
  const entries: string[] = [];
  let bytes = BEFORE.length + AFTER.length;
  let end = '';
  let next: URLSearchParams | undefined;
  for (const found of await finder.find(targets, digest)) {
    if (last !== null && found <= last) continue;
    const descriptor = await finder.describe(found);
    if (descriptor === undefined || (wanted !== '' && descriptor.artifactType !== wanted)) continue;
    const entry = JSON.stringify(descriptor);
    bytes += Buffer.byteLength(entry) + 1;
    if (entries.length > 0 && (bytes > LIMITS.manifestBytes || entries.length === LIMITS.indexManifests)) {
      next = new URLSearchParams(query);
      next.set('last', end);
      break;
    }
    entries.push(entry);
    end = found;
  }
  const body = Buffer.from(`${BEFORE}${entries.join(',')}${AFTER}`);
  return {
    status: 200,
    headers: {
      'Content-Type': MEDIA_TYPES.ociIndex,
      'Content-Length': body.length,
      ...(wanted === '' ? {} : { 'OCI-Filters-Applied': 'artifactType' }),
      ...linkTo(`/v2/${path}/referrers/${digest}`, next),
    },
    body,
  };
}

const OCTETS = 'application/octet-stream';
/** What a digest names never changes. */
const FOREVER = 'max-age=31536000, immutable';

/**
 * A blob, or a range of it (distribution-spec: Pulling blobs). Every blob of the source is served, whatever
 * repository the path names: a client that knows a digest has, or had, a manifest that lists it; all
 * repositories of this server are open to the same readers; and to check would mean reading all manifests for
 * each blob. A blob that was deleted from a repository is gone from that one only.
 */
export async function answerBlob(
  source: ServeSource,
  { repository, digest }: Extract<Route, { kind: 'blob' }>,
  request: RequestHeaders,
): Promise<Answer> {
  const blobs = source.restoring ?? source.blobs;
  const info = await blobs.info(digest);
  if (info === undefined || (await source.isWithheld?.(repository, digest)) === true) {
    throw new RegistryFault(404, 'BLOB_UNKNOWN', `there is no blob ${digest} here`);
  }
  const etag = etagOf(digest);
  const common = {
    'Accept-Ranges': 'bytes',
    'Cache-Control': FOREVER,
    'Docker-Content-Digest': digest,
    ETag: etag,
  };
  if (isNotModified(request, etag)) return { status: 304, headers: common };
  const descriptor = { mediaType: OCTETS, digest, size: info.size };
  const range = rangeOf(request, etag, info.size);
  if (range === 'unsatisfiable') {
    throw new RegistryFault(416, 'UNSUPPORTED', `the range lies beyond the ${info.size} bytes of the blob`, {
      'Content-Range': `bytes */${info.size}`,
    });
  }
  const part = range === 'whole' ? undefined : range;
  const headers = { ...common, 'Content-Type': OCTETS, 'Content-Length': part?.length ?? info.size };
  // Not called for HEAD, by which a client that pushes finds out what is here.
  const body = async (): Promise<Readable> => {
    await source.admitBlob?.(repository, digest);
    return await blobs.open(descriptor, part);
  };
  if (part === undefined) return { status: 200, headers, body };
  const contentRange = `bytes ${part.offset}-${part.offset + part.length - 1}/${info.size}`;
  return { status: 206, headers: { ...headers, 'Content-Range': contentRange }, body };
}

/** A range of something else than the client has a part of is no use to it (RFC 9110, 13.1.5). */
function rangeOf(request: RequestHeaders, etag: string, size: number): RangeAnswer {
  const condition = request['if-range'];
  return condition === undefined || condition === etag ? readRange(request.range, size) : 'whole';
}

/** `whole`: answer as if no range had been asked for. */
export type RangeAnswer = 'whole' | 'unsatisfiable' | (ByteRange & { readonly length: number });

/**
 * What a `Range` header asks of a blob (RFC 9110, 14.2). A header that is malformed, in another unit, or asks
 * for several ranges is answered with the whole, which the RFC allows, so a client has to cope with it
 * anyway. One that ends before it begins cannot be satisfied, whatever the blob is: the RFC leaves it open,
 * and the distribution specification's suite asks for it.
 *
 * @param size the blob's size in bytes
 */
export function readRange(header: string | undefined, size: number): RangeAnswer {
  const match = /^bytes=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return 'whole';
  if (first === '') {
    const length = Math.min(Number(last), size);
    return length === 0 ? 'unsatisfiable' : { offset: size - length, length };
  }
  const offset = Number(first);
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== '' && Number(last) < offset) return 'unsatisfiable';
  return offset >= size ? 'unsatisfiable' : { offset, length: end - offset + 1 };
}

/** The tags of a repository, in pages where the client asks for them (distribution-spec: Listing Tags). */
export async function answerTags(
  source: ServeSource,
  { repository, path, query }: Extract<Route, { kind: 'tags' }>,
): Promise<Answer> {
  const all = await source.tags(repository);
  if (all === undefined) throw noRepository(repository);
  return listing(all, query, `/v2/${path}/tags/list`, (tags) => ({ name: path, tags }));
}

/** The repositories, each as the shortest path that asks for it here: docker-registry's catalog. */
export async function answerCatalog(
  source: ServeSource,
  { query }: Extract<Route, { kind: 'catalog' }>,
): Promise<Answer> {
  const names = (await source.repositories()).map((name) => familiarReference(parseReference(name)));
  return listing(names, query, '/v2/_catalog', (repositories) => ({ repositories }));
}

/** In the order of code units, which for tags and names is ASCII's, as the specification asks. */
function listing(
  all: readonly string[],
  query: URLSearchParams,
  path: string,
  contentOf: (page: readonly string[]) => object,
): Answer {
  const [last, n, ns] = [query.get('last'), query.get('n'), query.get('ns')];
  const rest = all.toSorted().filter((item) => last === null || item > last);
  if (n === null) return jsonAnswer(contentOf(rest), {});
  if (!/^\d{1,9}$/.test(n)) throw new RegistryFault(400, 'PAGINATION_NUMBER_INVALID', 'n is not a number');
  const page = rest.slice(0, Number(n));
  const end = page.at(-1);
  const isLast = end === undefined || page.length === rest.length;
  const next = isLast ? undefined : new URLSearchParams({ n, last: end, ...(ns === null ? {} : { ns }) });
  return jsonAnswer(contentOf(page), linkTo(path, next));
}

/** The header that leads to the next page. */
function linkTo(path: string, next: URLSearchParams | undefined): Answer['headers'] {
  return next === undefined ? {} : { Link: `<${path}?${next.toString()}>; rel="next"` };
}

export function noRepository(repository: string): RegistryFault {
  return new RegistryFault(404, 'NAME_UNKNOWN', `there is no repository ${repository} here`);
}
