import type { Descriptor } from '../spec/index.js';
import { type Answer, etagOf, isNotModified, type RequestHeaders } from './answer.js';
import { type RangeAnswer, readRange } from './byte-range.js';
import { RegistryFault } from './registry-fault.js';
import type { Route } from './route.js';
import { blobsOf, type ServeSource } from './serve-source.js';

const OCTETS = 'application/octet-stream';
/** What a digest names never changes. */
const FOREVER = 'max-age=31536000, immutable';

/**
 * A blob, or a range of it (distribution-spec: Pulling blobs). Every blob of the source is served, whatever
 * repository the path names: whoever knows a digest has, or had, a manifest that lists it; all repositories of this
 * server are open to the same readers; and to find what an image reaches would mean reading its manifests for each
 * of its blobs. What was deleted from a repository is gone from that one, though others may have it still.
 */
export async function answerBlob(
  source: ServeSource,
  { repository, digest }: Extract<Route, { kind: 'blob' }>,
  request: RequestHeaders,
): Promise<Answer> {
  const blobs = blobsOf(source, repository);
  const info = await blobs.info(digest);
  if (info === undefined || (await source.isWithheld?.(repository, info)) === true) {
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
  const descriptor: Descriptor = { mediaType: OCTETS, digest, size: info.size };
  const range = rangeOf(request, etag, info.size);
  if (range === 'unsatisfiable') {
    throw new RegistryFault(416, 'UNSUPPORTED', `the range lies beyond the ${info.size} bytes of the blob`, {
      'Content-Range': `bytes */${info.size}`,
    });
  }
  if (range === 'whole') {
    return {
      status: 200,
      headers: { ...common, 'Content-Type': OCTETS, 'Content-Length': info.size },
      body: () => blobs.open(descriptor),
    };
  }
  const last = range.offset + range.length - 1;
  return {
    status: 206,
    headers: {
      ...common,
      'Content-Type': OCTETS,
      'Content-Length': range.length,
      'Content-Range': `bytes ${range.offset}-${last}/${info.size}`,
    },
    body: () => blobs.open(descriptor, range),
  };
}

/** A range of something else than the client has a part of is no use to it (RFC 9110, 13.1.5). */
function rangeOf(request: RequestHeaders, etag: string, size: number): RangeAnswer {
  const condition = request['if-range'];
  return condition === undefined || condition === etag ? readRange(request.range, size) : 'whole';
}
