import type { ByteRange } from '../../content/index.js';
import type { Descriptor } from '../../spec/index.js';
import { type Answer, etagOf, isNotModified, type RequestHeaders } from '../http/answer.js';
import { RegistryFault } from '../http/registry-fault.js';
import type { Route } from '../http/route.js';
import { blobsOf, type ServeSource } from './serve-source.js';

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

/** `whole`: answer as if no range had been asked for. */
export type RangeAnswer = 'whole' | 'unsatisfiable' | Required<ByteRange>;

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
