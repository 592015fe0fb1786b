import type { UploadWriter } from '../../content/index.js';
import { isLandfallError } from '../../errors.js';
import type { Digest } from '../../spec/index.js';
import { type Answer, emptyAnswer } from '../answer.js';
import { RegistryFault } from '../registry-fault.js';
import { hasBody } from '../request-body.js';
import type { RepositoryPath, Route } from '../route.js';
import { blobCreated, locationOf, type PushRequest, verifiableDigest } from './push-request.js';
import { rangeOf, receiveUpload } from './receive-upload.js';
import type { ServeTarget } from './serve-target.js';

type Upload = Extract<Route, { kind: 'upload' }>;

/** How far an upload is (distribution-spec: Pushing a blob in chunks). */
export async function answerStatus({ uploads }: ServeTarget, route: Upload): Promise<Answer> {
  const status = await uploads.status(route.id);
  if (status?.repository !== route.repository) throw unknownUpload();
  return emptyAnswer(204, headersOf(route, status.size));
}

/** The next chunk, or a stream of whatever length, as docker sends it. */
export async function answerPatch(push: PushRequest, route: Upload): Promise<Answer> {
  await using writer = await openUpload(push.target, route);
  await receiveUpload(push, writer, { where: headersOf(route, writer.size) });
  return emptyAnswer(202, headersOf(route, writer.size));
}

/** The end of an upload, with the last chunk or all of it in the body, or with none. */
export async function answerComplete(push: PushRequest, route: Upload): Promise<Answer> {
  const given = route.query.get('digest');
  if (given === null) throw new RegistryFault(400, 'DIGEST_INVALID', 'the digest of the blob is missing');
  const digest = verifiableDigest(given);
  await using writer = await openUpload(push.target, route);
  if (hasBody(push.request) || push.request.headers['content-range'] !== undefined) {
    await receiveUpload(push, writer, { where: headersOf(route, writer.size) });
  }
  return await commitUpload(push, { route, writer, digest });
}

/** @throws {RegistryFault} 400 DIGEST_INVALID where it is not what the digest says; the upload has ended then */
export async function commitUpload(
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
export async function answerCancel(target: ServeTarget, route: Upload): Promise<Answer> {
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
