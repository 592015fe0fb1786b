import type { IncomingMessage } from 'node:http';

import { SpecError } from '../../errors.js';
import {
  algorithmOf,
  bareMediaType,
  type Descriptor,
  type Digest,
  digestOf,
  LIMITS,
  parseManifest,
} from '../../spec/index.js';
import { type Answer, emptyAnswer } from '../answer.js';
import { MANIFEST_MS } from '../limits.js';
import { RegistryFault } from '../registry-fault.js';
import { announcedLength, bodyOf } from '../request-body.js';
import type { Route } from '../route.js';
import { locationOf, type PushRequest, verifiableDigest } from './push-request.js';
import type { PushedManifest } from './serve-target.js';

type Manifest = Extract<Route, { kind: 'manifest' }>;

const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** distribution-spec asks for ten at least. */
const MOST_TAGS = 100;

/** Stores a manifest by tag, or by digest with tags beside that (distribution-spec: Pushing Manifests). */
export async function answerPutManifest(push: PushRequest, route: Manifest): Promise<Answer> {
  const tags = tagsOf(route);
  const digest = digestIn(route);
  refuseLarge(announcedLength(push.request) ?? 0);
  return await push.inTurn(async () => {
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

/** distribution-spec: Push, what a manifest is rejected with whose blobs are not here. */
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
