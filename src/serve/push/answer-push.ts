import type { IncomingMessage } from 'node:http';
import type { Limiter } from '../../concurrency/index.js';
import type { UploadWriter } from '../../content/index.js';
import { isLandfallError, SpecError } from '../../errors.js';
import {
  algorithmOf,
  bareMediaType,
  type Descriptor,
  type Digest,
  digestOf,
  exactSize,
  isDigest,
  isVerifiable,
  LIMITS,
  parseManifest,
} from '../../spec/index.js';
import { type Answer, emptyAnswer, RegistryFault } from '../http/answer.js';
import { announcedLength, bodyOf, hasBody } from '../http/request-body.js';
import { noEndpoint, type RepositoryPath, type Route } from '../http/route.js';
import { noRepository } from '../pull/answer-pull.js';
import type { ServeSource } from '../pull/serve-source.js';
import type { Deletion, PushedManifest, ServeTarget } from './serve-target.js';

/** The methods that change something. */
export const PUSH_METHODS: ReadonlySet<string> = new Set(['POST', 'PATCH', 'PUT', 'DELETE']);

/** A request that changes something, and its limits. */
export interface PushRequest {
  readonly source: ServeSource;
  readonly target: ServeTarget;
  readonly request: IncomingMessage;
  readonly limits: { /** Of one blob. */ readonly uploadBytes: number };
  /** Limits how many whole manifests are in memory. */
  readonly manifests: Limiter;
}

type RouteTo<Kind extends Route['kind']> = Extract<Route, { kind: Kind }>;

/**
 * Changes a repository, or answers the status of an upload (distribution-spec: Push, Content Management).
 *
 * @throws {RegistryFault} the answer to the client instead; all else that the target throws
 */
export async function answerPush(push: PushRequest, method: string, route: Route): Promise<Answer> {
  switch (route.kind) {
    case 'uploads':
      if (method === 'POST') return answerBegin(push, route);
      throw notAllowed(method, 'POST');
    case 'upload':
      if (method === 'PATCH') return answerPatch(push, route);
      if (method === 'PUT') return answerComplete(push, route);
      if (method === 'DELETE') return answerCancel(push, route);
      if (method === 'GET' || method === 'HEAD') return answerStatus(push, route);
      throw noEndpoint();
    case 'manifest':
      if (method === 'PUT') return answerPutManifest(push, route);
      if (method === 'DELETE') return answerDeleteManifest(push, route);
      throw notAllowed(method, 'GET, HEAD, PUT, DELETE');
    case 'blob':
      if (method === 'DELETE') return answerDeleteBlob(push, route);
      throw notAllowed(method, 'GET, HEAD, DELETE');
    case 'base':
    case 'catalog':
    case 'tags':
    case 'referrers':
    case 'page':
      throw notAllowed(method, 'GET, HEAD');
  }
}

function notAllowed(method: string, allowed: string): RegistryFault {
  const headers = { Allow: allowed, Connection: 'close' };
  return new RegistryFault(405, 'UNSUPPORTED', `there is no ${method} of this`, headers);
}

/**
 * The beginning of an upload: with `mount` it may be all there is to do, with `digest` the blob is the body
 * (distribution-spec: Mounting a blob from another repository, Single POST). A mount needs no `from`: every
 * blob here may be mounted, since a client that may push here may read everything here. A blob that cannot be
 * mounted is uploaded.
 */
async function answerBegin(push: PushRequest, route: RouteTo<'uploads'>): Promise<Answer> {
  const { query, repository } = route;
  const mount = query.get('mount');
  if (mount !== null && mount !== '') {
    const digest = verifiableDigest(mount);
    if (await push.target.mount(repository, digest)) return blobCreated(route, digest);
  }
  const given = query.get('digest');
  if (given !== null) {
    const digest = verifiableDigest(given);
    if (hasBody(push.request) || isEmptyBlob(digest)) return wholeUpload(push, route, digest);
  }
  const algorithm = given === null ? algorithmIn(query) : algorithmOf(verifiableDigest(given));
  const id = await push.target.uploads.begin({ repository, algorithm });
  return emptyAnswer(202, uploadHeaders(route, id, 0));
}

async function wholeUpload(push: PushRequest, route: RepositoryPath, digest: Digest): Promise<Answer> {
  const { uploads } = push.target;
  const id = await uploads.begin({ repository: route.repository, algorithm: algorithmOf(digest) });
  await using writer = await uploads.open(id);
  if (writer === undefined) throw new Error('an upload went as soon as it was begun');
  try {
    await receiveUpload(push, writer, {});
    return await commitUpload(push, route, writer, digest);
  } catch (error) {
    // The client does not know where it would go on.
    await writer.discard();
    throw error;
  }
}

function algorithmIn(query: URLSearchParams): string {
  const algorithm = query.get('digest-algorithm') ?? 'sha256';
  if (algorithm === 'sha256' || algorithm === 'sha512') return algorithm;
  throw new RegistryFault(400, 'DIGEST_INVALID', 'only sha256 and sha512 digests can be pushed here');
}

function isEmptyBlob(digest: Digest): boolean {
  return digest === digestOf(new Uint8Array(), algorithmOf(digest) === 'sha512' ? 'sha512' : 'sha256');
}

/** Deletes a tag, or a manifest with all its tags (distribution-spec: Deleting tags, Deleting Manifests). */
async function answerDeleteManifest(
  { source, target }: PushRequest,
  route: RouteTo<'manifest'>,
): Promise<Answer> {
  const { repository } = route;
  const deletion = await ('tag' in route
    ? target.deleteTag(repository, route.tag)
    : target.deleteManifest(repository, route.digest));
  if (deletion !== 'unknown')
    return answerOf(deletion, 'an index here lists the manifest: delete that first');
  if ((await source.tags(repository)) === undefined) throw noRepository(repository);
  throw new RegistryFault(404, 'MANIFEST_UNKNOWN', 'there is no such manifest here');
}

/** Deletes a blob from a repository (distribution-spec: Deleting Blobs). */
async function answerDeleteBlob(
  { target }: PushRequest,
  { repository, digest }: RouteTo<'blob'>,
): Promise<Answer> {
  const deletion = await target.deleteBlob(repository, digest);
  if (deletion !== 'unknown')
    return answerOf(deletion, 'an image here consists of the blob: delete that first');
  throw new RegistryFault(404, 'BLOB_UNKNOWN', `there is no blob ${digest} here`);
}

/** What a mirror serves stays whole: nothing goes that something else consists of. */
function answerOf(deletion: Exclude<Deletion, 'unknown'>, whyNeeded: string): Answer {
  if (deletion === 'deleted') return emptyAnswer(202);
  const why = deletion === 'needed' ? whyNeeded : 'it is in a store that is only read here';
  throw new RegistryFault(405, 'DENIED', why, { Allow: 'GET, HEAD' });
}

/** How far an upload is (distribution-spec: Pushing a blob in chunks). */
async function answerStatus({ target }: PushRequest, route: RouteTo<'upload'>): Promise<Answer> {
  const status = await target.uploads.status(route.id);
  if (status?.repository !== route.repository) throw unknownUpload();
  return emptyAnswer(204, uploadHeaders(route, route.id, status.size));
}

/** The next chunk, or a stream of whatever length, as docker sends it. */
async function answerPatch(push: PushRequest, route: RouteTo<'upload'>): Promise<Answer> {
  await using writer = await openUpload(push, route);
  await receiveUpload(push, writer, uploadHeaders(route, route.id, writer.size));
  return emptyAnswer(202, uploadHeaders(route, route.id, writer.size));
}

/** The end of an upload, with the last chunk or all of it in the body, or with none. */
async function answerComplete(push: PushRequest, route: RouteTo<'upload'>): Promise<Answer> {
  const given = route.query.get('digest');
  if (given === null) throw new RegistryFault(400, 'DIGEST_INVALID', 'the digest of the blob is missing');
  const digest = verifiableDigest(given);
  await using writer = await openUpload(push, route);
  if (hasBody(push.request) || push.request.headers['content-range'] !== undefined)
    await receiveUpload(push, writer, uploadHeaders(route, route.id, writer.size));
  return await commitUpload(push, route, writer, digest);
}

/**
 * @throws {RegistryFault} 400 DIGEST_INVALID where it is not what the digest says; the upload has ended then
 */
async function commitUpload(
  { target }: PushRequest,
  route: RepositoryPath,
  writer: UploadWriter,
  digest: Digest,
): Promise<Answer> {
  // Protected before it is here, so that no collection comes in between.
  await target.accept(route.repository, digest);
  try {
    await writer.commit(digest);
  } catch (error) {
    if (!isLandfallError(error) || error.code !== 'DIGEST_MISMATCH') throw error;
    throw new RegistryFault(400, 'DIGEST_INVALID', 'the uploaded bytes have another digest');
  }
  return blobCreated(route, digest);
}

/** Ends an upload before it is whole (distribution-spec: Cancel a blob upload). */
async function answerCancel(push: PushRequest, route: RouteTo<'upload'>): Promise<Answer> {
  await using writer = await openUpload(push, route);
  await writer.discard();
  return emptyAnswer(204);
}

async function openUpload(
  { target }: PushRequest,
  { id, repository }: RouteTo<'upload'>,
): Promise<UploadWriter> {
  const writer = await target.uploads.open(id).catch((error: unknown) => {
    if (!isLandfallError(error) || error.code !== 'IN_USE') throw error;
    throw new RegistryFault(503, 'BLOB_UPLOAD_INVALID', 'the upload is being written to', {
      'Retry-After': '1',
    });
  });
  if (writer?.info.repository === repository) return writer;
  await writer?.[Symbol.asyncDispose]();
  throw unknownUpload();
}

/**
 * Where an upload goes on, and the last byte that has come: with none it is `0-0` too, as docker-registry
 * says it.
 */
function uploadHeaders(route: RepositoryPath, id: string, size: number): Record<string, string> {
  return {
    Location: locationOf(route, `blobs/uploads/${id}`),
    Range: `0-${Math.max(0, size - 1)}`,
    'Docker-Upload-UUID': id,
  };
}

function unknownUpload(): RegistryFault {
  return new RegistryFault(404, 'BLOB_UPLOAD_UNKNOWN', 'there is no such upload here');
}

/**
 * Adds the body of a request to an upload (distribution-spec: Pushing a blob in chunks). A chunk that says
 * where it begins has to begin where the last one ended. When the client breaks off, the part that has come
 * is kept.
 *
 * @param where of a 416, for the client to ask again
 * @throws {RegistryFault} 416 for a chunk out of order, 413 for too much, 400 where the lengths disagree or
 *   the client has gone
 */
async function receiveUpload(
  { request, limits: { uploadBytes } }: PushRequest,
  writer: UploadWriter,
  where: Readonly<Record<string, string>>,
): Promise<void> {
  const length = announcedLength(request);
  const chunk = readContentRange(request.headers['content-range']);
  const before = writer.size;
  if (chunk !== undefined && chunk.start !== before) {
    const headers = { ...where, Range: `0-${Math.max(0, before - 1)}` };
    throw new RegistryFault(416, 'BLOB_UPLOAD_INVALID', `the next chunk begins at ${before}`, headers);
  }
  const expected = chunk === undefined ? length : chunk.end - chunk.start + 1;
  if (length !== undefined && expected !== undefined && expected !== length)
    throw new RegistryFault(400, 'SIZE_INVALID', `the range has ${expected} bytes, and the body ${length}`);
  const requireRoom = async (size: number): Promise<void> => {
    if (size <= uploadBytes) return;
    // An upload that is too large cannot be resumed.
    await writer.discard();
    throw new RegistryFault(413, 'SIZE_INVALID', `a blob may have ${exactSize(uploadBytes)} at most`);
  };
  await requireRoom(before + (expected ?? 0));
  const stop = (): void => void request.destroy();
  writer.superseded.addEventListener('abort', stop);
  try {
    for await (const part of bodyOf(request)) {
      await requireRoom(writer.size + part.length);
      await writer.append(part);
    }
  } catch (error) {
    if (error instanceof RegistryFault || (isLandfallError(error) && error.code !== 'ABORTED')) throw error;
    throw brokenOff('BLOB_UPLOAD_INVALID');
  } finally {
    writer.superseded.removeEventListener('abort', stop);
  }
  if (expected !== undefined && writer.size - before !== expected)
    throw new RegistryFault(400, 'SIZE_INVALID', `the body has not the ${expected} bytes of its range`);
}

function brokenOff(code: 'BLOB_UPLOAD_INVALID' | 'MANIFEST_INVALID'): RegistryFault {
  return new RegistryFault(400, code, 'the request broke off', { Connection: 'close' });
}

/** The specification writes `0-99`; some clients write it as RFC 9110 does, `bytes 0-99/100`. */
function readContentRange(header: string | undefined): { start: number; end: number } | undefined {
  if (header === undefined) return undefined;
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d{1,15}|\*))?$/.exec(header.trim());
  const [start, end] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || end < start) {
    throw new RegistryFault(400, 'BLOB_UPLOAD_INVALID', 'the Content-Range is malformed');
  }
  return { start, end };
}

/** How long a pushed manifest may take to arrive, in ms: a slow sender must not keep the others waiting. */
const MANIFEST_MS = 60_000;

const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** distribution-spec asks for ten at least. */
const MOST_TAGS = 100;

/** Stores a manifest by tag, or by digest with tags beside that (distribution-spec: Pushing Manifests). */
async function answerPutManifest(push: PushRequest, route: RouteTo<'manifest'>): Promise<Answer> {
  const { request, target, manifests } = push;
  const tags = tagsOf(route);
  // By tag, `digest` may say what it has to be.
  const given = 'digest' in route ? route.digest : (route.query.get('digest') ?? undefined);
  const wanted = given === undefined ? undefined : verifiableDigest(given);
  refuseLarge(announcedLength(request) ?? 0);
  return await manifests.run(async () => {
    const bytes = await readBody(request);
    const isSha512 = wanted !== undefined && algorithmOf(wanted) === 'sha512';
    const digest = digestOf(bytes, isSha512 ? 'sha512' : 'sha256');
    if (wanted !== undefined && wanted !== digest)
      throw new RegistryFault(400, 'DIGEST_INVALID', 'the manifest has another digest');
    const manifest = parsed(bytes, request.headers['content-type']);
    const descriptor: Descriptor = { mediaType: manifest.mediaType, digest, size: bytes.length };
    const { repository } = route;
    const byDigest = 'digest' in route;
    const missing = await target.putManifest({ repository, tags, byDigest, descriptor, bytes, manifest });
    if (missing.length > 0) throw blobsUnknown(missing);
    return emptyAnswer(201, {
      Location: locationOf(route, `manifests/${digest}`),
      'Docker-Content-Digest': digest,
      ...(manifest.subject === undefined ? {} : { 'OCI-Subject': manifest.subject.digest }),
      ...(byDigest && tags.length > 0 ? { 'OCI-Tag': tags.join(', ') } : {}),
    });
  });
}

/** By its digest, `tag` parameters name it too. */
function tagsOf(route: RouteTo<'manifest'>): readonly string[] {
  const tags = 'tag' in route ? [route.tag] : [...new Set(route.query.getAll('tag'))];
  if (tags.length > MOST_TAGS) {
    throw new RegistryFault(414, 'UNSUPPORTED', `a manifest may get ${MOST_TAGS} tags at once at most`);
  }
  if (tags.every((tag) => TAG.test(tag))) return tags;
  throw new RegistryFault(400, 'MANIFEST_INVALID', 'the tag is malformed');
}

function parsed(bytes: Buffer, contentType: string | undefined): PushedManifest['manifest'] {
  try {
    return parseManifest(bytes, contentType === undefined ? undefined : bareMediaType(contentType));
  } catch (error) {
    if (error instanceof SpecError) throw new RegistryFault(400, 'MANIFEST_INVALID', error.message);
    throw error;
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  const tooLate = setTimeout(() => request.destroy(), MANIFEST_MS);
  try {
    for await (const part of bodyOf(request)) {
      length += part.length;
      refuseLarge(length);
      parts.push(part);
    }
  } catch (error) {
    if (error instanceof RegistryFault) throw error;
    throw brokenOff('MANIFEST_INVALID');
  } finally {
    clearTimeout(tooLate);
  }
  return Buffer.concat(parts);
}

function refuseLarge(length: number): void {
  if (length <= LIMITS.manifestBytes) return;
  throw new RegistryFault(
    413,
    'SIZE_INVALID',
    `a manifest may have ${exactSize(LIMITS.manifestBytes)} at most`,
  );
}

/** The error for a manifest whose blobs are not here (distribution-spec: Push). */
function blobsUnknown(missing: readonly Descriptor[]): RegistryFault {
  const code = 'MANIFEST_BLOB_UNKNOWN';
  const message = `the manifest lists ${missing.length} that ${missing.length === 1 ? 'is' : 'are'} not here`;
  const entries = missing.map(
    ({ digest }) =>
      ({
        code,
        message: `there is no blob ${digest} here`,
        detail: { digest },
      }) as const,
  );
  return new RegistryFault(400, code, message, {}, entries);
}

/**
 * Where a client finds something of a repository, by the path it knows that by: relative, so that it holds
 * behind a proxy.
 */
function locationOf({ path, ns }: RepositoryPath, rest: string): string {
  const query = ns === undefined ? '' : `?${new URLSearchParams({ ns }).toString()}`;
  return `/v2/${path}/${rest}${query}`;
}

/** 201, with the place of a blob that a repository has now. */
function blobCreated(route: RepositoryPath, digest: Digest): Answer {
  return emptyAnswer(201, {
    Location: locationOf(route, `blobs/${digest}`),
    'Docker-Content-Digest': digest,
  });
}

/**
 * The digest in a query, against which the pushed bytes are verified.
 *
 * @throws {RegistryFault} 400 DIGEST_INVALID: malformed, or of an algorithm that cannot be computed here
 */
function verifiableDigest(text: string): Digest {
  if (!isDigest(text)) throw new RegistryFault(400, 'DIGEST_INVALID', 'the digest is malformed');
  if (isVerifiable(text)) return text;
  throw new RegistryFault(400, 'DIGEST_INVALID', 'only sha256 and sha512 digests can be pushed here');
}
