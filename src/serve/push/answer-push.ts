import type { IncomingMessage } from 'node:http';
import type { UploadWriter } from '../../content/index.js';
import { isLandfallError, SpecError } from '../../errors.js';
import {
  algorithmOf,
  bareMediaType,
  type Descriptor,
  type Digest,
  digestOf,
  isVerifiable,
  LIMITS,
  parseManifest,
} from '../../spec/index.js';
import { type Answer, emptyAnswer } from '../http/answer.js';
import { RegistryFault } from '../http/registry-fault.js';
import { announcedLength, bodyOf, hasBody } from '../http/request-body.js';
import { noEndpoint, type RepositoryPath, type Route } from '../http/route.js';
import type { ServeSource } from '../pull/serve-source.js';
import {
  blobCreated,
  type Deletion,
  locationOf,
  type PushedManifest,
  type PushRequest,
  type ServeTarget,
  verifiableDigest,
} from './serve-target.js';

/** The methods that change something. */
export const PUSH_METHODS: ReadonlySet<string> = new Set(['POST', 'PATCH', 'PUT', 'DELETE']);

/**
 * Changes a repository, or answers the status of an upload (distribution-spec: Push, Content Management).
 *
 * @throws {RegistryFault} what the client is told instead; whatever else the target throws
 */
export async function answerPush(
  source: ServeSource,
  push: PushRequest,
  { route, method }: { readonly route: Route; readonly method: string },
): Promise<Answer> {
  switch (route.kind) {
    case 'uploads':
      if (method === 'POST') return answerBegin(push, route);
      throw notAllowed(method, 'POST');
    case 'upload':
      return answerUpload(push, route, method);
    case 'manifest':
      if (method === 'PUT') return answerPutManifest(push, route);
      if (method === 'DELETE') return answerDeleteManifest(source, push.target, route);
      throw notAllowed(method, 'GET, HEAD, PUT, DELETE');
    case 'blob':
      if (method === 'DELETE') return answerDeleteBlob(push.target, route);
      throw notAllowed(method, 'GET, HEAD, DELETE');
    case 'base':
    case 'catalog':
    case 'tags':
    case 'referrers':
    case 'page':
      throw notAllowed(method, 'GET, HEAD');
  }
}

async function answerUpload(
  push: PushRequest,
  route: Extract<Route, { kind: 'upload' }>,
  method: string,
): Promise<Answer> {
  switch (method) {
    case 'GET':
    case 'HEAD':
      return answerStatus(push.target, route);
    case 'PATCH':
      return answerPatch(push, route);
    case 'PUT':
      return answerComplete(push, route);
    case 'DELETE':
      return answerCancel(push.target, route);
    default:
      throw noEndpoint();
  }
}

function notAllowed(method: string, allowed: string): RegistryFault {
  const headers = { Allow: allowed, Connection: 'close' };
  return new RegistryFault(405, 'UNSUPPORTED', `there is no ${method} of this`, headers);
}

type Uploads = Extract<Route, { kind: 'uploads' }>;

/**
 * The beginning of an upload: with `mount` it may be all there is to do, with `digest` the blob is the body
 * (distribution-spec: Mounting a blob from another repository, Single POST). A mount needs no `from`: every
 * blob here may be mounted, since a client that may push here may read everything here. A blob that cannot be
 * mounted is uploaded.
 */
async function answerBegin(push: PushRequest, route: Uploads): Promise<Answer> {
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
  return begun(push, route, given === null ? algorithmIn(query) : algorithmOf(verifiableDigest(given)));
}

async function wholeUpload(push: PushRequest, route: Uploads, digest: Digest): Promise<Answer> {
  const { uploads } = push.target;
  const id = await uploads.begin({ repository: route.repository, algorithm: algorithmOf(digest) });
  const writer = await uploads.open(id);
  if (writer === undefined) throw new Error('an upload went as soon as it was begun');
  await using held = writer;
  try {
    await receiveUpload(push, held, { where: {} });
    return await commitUpload(push, { route, writer: held, digest });
  } catch (error) {
    // The client does not know where it would go on.
    await held.discard();
    throw error;
  }
}

async function begun({ target }: PushRequest, route: Uploads, algorithm: string): Promise<Answer> {
  const id = await target.uploads.begin({ repository: route.repository, algorithm });
  return emptyAnswer(202, {
    Location: locationOf(route, `blobs/uploads/${id}`),
    Range: '0-0',
    'Docker-Upload-UUID': id,
  });
}

function algorithmIn(query: URLSearchParams): string {
  const algorithm = query.get('digest-algorithm') ?? 'sha256';
  if (algorithm === 'sha256' || algorithm === 'sha512') return algorithm;
  throw new RegistryFault(400, 'DIGEST_INVALID', 'only sha256 and sha512 digests can be pushed here');
}

function isEmptyBlob(digest: Digest): boolean {
  if (!isVerifiable(digest)) return false;
  return digest === digestOf(new Uint8Array(), algorithmOf(digest) === 'sha512' ? 'sha512' : 'sha256');
}

/** Deletes a tag, or a manifest with all its tags (distribution-spec: Deleting tags, Deleting Manifests). */
async function answerDeleteManifest(
  source: ServeSource,
  target: ServeTarget,
  route: Extract<Route, { kind: 'manifest' }>,
): Promise<Answer> {
  const { repository } = route;
  const deletion = await ('tag' in route
    ? target.deleteTag(repository, route.tag)
    : target.deleteManifest(repository, route.digest));
  if (deletion === 'unknown') {
    const known = (await source.tags(repository)) !== undefined;
    throw known
      ? new RegistryFault(404, 'MANIFEST_UNKNOWN', 'there is no such manifest here')
      : new RegistryFault(404, 'NAME_UNKNOWN', `there is no repository ${repository} here`);
  }
  return answerOf(deletion, 'an index here lists the manifest: delete that first');
}

/** Deletes a blob from a repository (distribution-spec: Deleting Blobs). */
async function answerDeleteBlob(
  target: ServeTarget,
  { repository, digest }: Extract<Route, { kind: 'blob' }>,
): Promise<Answer> {
  const deletion = await target.deleteBlob(repository, digest);
  if (deletion === 'unknown') {
    throw new RegistryFault(404, 'BLOB_UNKNOWN', `there is no blob ${digest} here`);
  }
  return answerOf(deletion, 'an image here consists of the blob: delete that first');
}

/** What a mirror serves stays whole: nothing goes that something else consists of. */
function answerOf(deletion: Exclude<Deletion, 'unknown'>, whyNeeded: string): Answer {
  switch (deletion) {
    case 'deleted':
      return emptyAnswer(202);
    case 'needed':
      throw new RegistryFault(405, 'DENIED', whyNeeded, { Allow: 'GET, HEAD' });
    case 'elsewhere':
      throw new RegistryFault(405, 'DENIED', 'it is in a store that is only read here', {
        Allow: 'GET, HEAD',
      });
  }
}

type Upload = Extract<Route, { kind: 'upload' }>;

/** How far an upload is (distribution-spec: Pushing a blob in chunks). */
async function answerStatus({ uploads }: ServeTarget, route: Upload): Promise<Answer> {
  const status = await uploads.status(route.id);
  if (status?.repository !== route.repository) throw unknownUpload();
  return emptyAnswer(204, headersOf(route, status.size));
}

/** The next chunk, or a stream of whatever length, as docker sends it. */
async function answerPatch(push: PushRequest, route: Upload): Promise<Answer> {
  await using writer = await openUpload(push.target, route);
  await receiveUpload(push, writer, { where: headersOf(route, writer.size) });
  return emptyAnswer(202, headersOf(route, writer.size));
}

/** The end of an upload, with the last chunk or all of it in the body, or with none. */
async function answerComplete(push: PushRequest, route: Upload): Promise<Answer> {
  const given = route.query.get('digest');
  if (given === null) throw new RegistryFault(400, 'DIGEST_INVALID', 'the digest of the blob is missing');
  const digest = verifiableDigest(given);
  await using writer = await openUpload(push.target, route);
  if (hasBody(push.request) || push.request.headers['content-range'] !== undefined) {
    await receiveUpload(push, writer, { where: headersOf(route, writer.size) });
  }
  return await commitUpload(push, { route, writer, digest });
}

/**
 * @throws {RegistryFault} 400 DIGEST_INVALID where it is not what the digest says; the upload has ended then
 */
async function commitUpload(
  { target }: PushRequest,
  {
    route,
    writer,
    digest,
  }: { readonly route: RepositoryPath; readonly writer: UploadWriter; readonly digest: Digest },
): Promise<Answer> {
  // Protected before it is here, so that no collection comes in between.
  await target.accept(route.repository, digest);
  try {
    await writer.commit(digest);
  } catch (error) {
    if (isLandfallError(error) && error.code === 'DIGEST_MISMATCH') {
      throw new RegistryFault(400, 'DIGEST_INVALID', 'what was uploaded has another digest');
    }
    throw error;
  }
  return blobCreated(route, digest);
}

/** Ends an upload before it is whole (distribution-spec: Cancel a blob upload). */
async function answerCancel(target: ServeTarget, route: Upload): Promise<Answer> {
  await using writer = await openUpload(target, route);
  await writer.discard();
  return emptyAnswer(204);
}

async function openUpload({ uploads }: ServeTarget, { id, repository }: Upload): Promise<UploadWriter> {
  const writer = await uploads.open(id).catch((error: unknown) => {
    if (!isLandfallError(error) || error.code !== 'IN_USE') throw error;
    throw new RegistryFault(503, 'BLOB_UPLOAD_INVALID', 'the upload is being written to', {
      'Retry-After': '1',
    });
  });
  if (writer === undefined) throw unknownUpload();
  if (writer.facts.repository === repository) return writer;
  await writer[Symbol.asyncDispose]();
  throw unknownUpload();
}

function headersOf(route: Upload, size: number): Record<string, string> {
  return {
    Location: locationOf(route, `blobs/uploads/${route.id}`),
    Range: rangeOf(size),
    'Docker-Upload-UUID': route.id,
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
 * @throws {RegistryFault} 416 for a chunk out of order, 413 for too much, 400 where the lengths disagree or
 *   the client has gone
 */
async function receiveUpload(
  { request, mostUploadBytes }: PushRequest,
  writer: UploadWriter,
  o: { /** Told to who is to ask again, with a 416. */ readonly where: Readonly<Record<string, string>> },
): Promise<void> {
  const length = announcedLength(request);
  const chunk = readContentRange(request.headers['content-range']);
  if (chunk !== undefined && chunk.start !== writer.size) throw outOfOrder(writer.size, o.where);
  const expected = chunk === undefined ? length : chunk.end - chunk.start + 1;
  if (length !== undefined && expected !== undefined && expected !== length) {
    throw new RegistryFault(400, 'SIZE_INVALID', `the range has ${expected} bytes, and the body ${length}`);
  }
  if (writer.size + (expected ?? 0) > mostUploadBytes) throw await tooLarge(writer, mostUploadBytes);
  const before = writer.size;
  const stop = (): void => void request.destroy();
  writer.superseded.addEventListener('abort', stop);
  try {
    for await (const part of bodyOf(request)) {
      if (writer.size + part.length > mostUploadBytes) throw await tooLarge(writer, mostUploadBytes);
      await writer.append(part);
    }
  } catch (error) {
    if (error instanceof RegistryFault || (isLandfallError(error) && error.code !== 'ABORTED')) throw error;
    throw new RegistryFault(400, 'BLOB_UPLOAD_INVALID', 'the request broke off', { Connection: 'close' });
  } finally {
    writer.superseded.removeEventListener('abort', stop);
  }
  if (expected !== undefined && writer.size - before !== expected) {
    throw new RegistryFault(400, 'SIZE_INVALID', `the body has not the ${expected} bytes of its range`);
  }
}

/** `0-` and the last byte that has come. With none it is `0-0` too, as docker-registry says it. */
function rangeOf(size: number): string {
  return `0-${Math.max(0, size - 1)}`;
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

function outOfOrder(size: number, where: Readonly<Record<string, string>>): RegistryFault {
  return new RegistryFault(416, 'BLOB_UPLOAD_INVALID', `the next chunk begins at ${size}`, {
    ...where,
    Range: rangeOf(size),
  });
}

/** An upload that is too large cannot be resumed. */
async function tooLarge(writer: UploadWriter, most: number): Promise<RegistryFault> {
  await writer.discard();
  return new RegistryFault(413, 'SIZE_INVALID', `a blob may have ${most} bytes at most`);
}

type Manifest = Extract<Route, { kind: 'manifest' }>;

/** How long a pushed manifest may take to arrive, in ms: a slow sender must not keep the others waiting. */
const MANIFEST_MS = 60_000;

const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** distribution-spec asks for ten at least. */
const MOST_TAGS = 100;

/** Stores a manifest by tag, or by digest with tags beside that (distribution-spec: Pushing Manifests). */
async function answerPutManifest(push: PushRequest, route: Manifest): Promise<Answer> {
  const tags = tagsOf(route);
  const digest = digestIn(route);
  refuseLarge(announcedLength(push.request) ?? 0);
  return await push.manifests.run(async () => {
    const bytes = await readBody(push.request);
    const manifest = pushedManifest(route, {
      tags,
      digest,
      bytes,
      contentType: push.request.headers['content-type'],
    });
    const missing = await push.target.putManifest(manifest);
    if (missing.length > 0) throw blobsUnknown(missing);
    const { descriptor, document } = manifest;
    return emptyAnswer(201, {
      Location: locationOf(route, `manifests/${descriptor.digest}`),
      'Docker-Content-Digest': descriptor.digest,
      ...(document.subject === undefined ? {} : { 'OCI-Subject': document.subject.digest }),
      ...('digest' in route && tags.length > 0 ? { 'OCI-Tag': tags.join(', ') } : {}),
    });
  });
}

/** By its digest, `tag` parameters name it too; by tag, `digest` may say what it has to be. */
function tagsOf(route: Manifest): readonly string[] {
  const tags = 'tag' in route ? [route.tag] : [...new Set(route.query.getAll('tag'))];
  if (tags.length > MOST_TAGS) {
    throw new RegistryFault(414, 'UNSUPPORTED', `a manifest may get ${MOST_TAGS} tags at once at most`);
  }
  if (tags.every((tag) => TAG.test(tag))) return tags;
  throw new RegistryFault(400, 'MANIFEST_INVALID', 'the tag is malformed');
}

function digestIn(route: Manifest): Digest | undefined {
  const given = 'digest' in route ? route.digest : (route.query.get('digest') ?? undefined);
  return given === undefined ? undefined : verifiableDigest(given);
}

function pushedManifest(
  route: Manifest,
  o: {
    readonly tags: readonly string[];
    readonly digest: Digest | undefined;
    readonly bytes: Buffer;
    readonly contentType: string | undefined;
  },
): PushedManifest {
  const { tags, digest: wanted, bytes, contentType } = o;
  const digest = digestOf(
    bytes,
    wanted !== undefined && algorithmOf(wanted) === 'sha512' ? 'sha512' : 'sha256',
  );
  if (wanted !== undefined && wanted !== digest) {
    throw new RegistryFault(400, 'DIGEST_INVALID', 'the manifest has another digest');
  }
  const document = parsed(bytes, contentType);
  const descriptor: Descriptor = { mediaType: document.mediaType, digest, size: bytes.length };
  return { repository: route.repository, tags, byDigest: 'digest' in route, descriptor, bytes, document };
}

function parsed(bytes: Buffer, contentType: string | undefined): PushedManifest['document'] {
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
    throw new RegistryFault(400, 'MANIFEST_INVALID', 'the request broke off', { Connection: 'close' });
  } finally {
    clearTimeout(tooLate);
  }
  return Buffer.concat(parts);
}

function refuseLarge(length: number): void {
  if (length <= LIMITS.manifestBytes) return;
  throw new RegistryFault(413, 'SIZE_INVALID', `a manifest may have ${LIMITS.manifestBytes} bytes at most`);
}

/** The error for a manifest whose blobs are not here (distribution-spec: Push). */
function blobsUnknown(missing: readonly Descriptor[]): RegistryFault {
  const message = `the manifest lists ${missing.length} that ${missing.length === 1 ? 'is' : 'are'} not here`;
  return new RegistryFault(
    400,
    'MANIFEST_BLOB_UNKNOWN',
    message,
    {},
    missing.map(({ digest }) => ({
      code: 'MANIFEST_BLOB_UNKNOWN',
      message: `there is no blob ${digest} here`,
      detail: { digest },
    })),
  );
}
