import { algorithmOf, type Digest, digestOf, isVerifiable } from '../../spec/index.js';
import { type Answer, emptyAnswer } from '../answer.js';
import { RegistryFault } from '../registry-fault.js';
import { hasBody } from '../request-body.js';
import type { Route } from '../route.js';
import { commitUpload } from './answer-upload.js';
import { blobCreated, locationOf, type PushRequest, verifiableDigest } from './push-request.js';
import { receiveUpload } from './receive-upload.js';

type Uploads = Extract<Route, { kind: 'uploads' }>;

/**
 * The beginning of an upload: with `mount` it may be all there is to do, with `digest` the blob is the body (distribution-spec:
 * Mounting a blob from another repository, Single POST). A mount needs no `from`: what is here may be mounted, whichever
 * repository brought it, since whoever may push here may read everywhere here. What cannot be mounted is uploaded.
 */
export async function answerBegin(push: PushRequest, route: Uploads): Promise<Answer> {
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
