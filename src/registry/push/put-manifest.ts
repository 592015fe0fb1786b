import { type Abortable, RegistryError } from '../../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  algorithmOf,
  bareMediaType,
  createDigester,
  type Descriptor,
  type Digest,
  digestOf,
  isDigest,
  shortDigest,
} from '../../spec/index.js';
import { HeadRequests, type MirrorList } from '../hosts/mirror-list.js';
import { collectBeginning, contentLength, type HttpResponse, wholeManifest } from '../http/http.js';
import { checkAnsweredDigest, writing } from './blob-upload.js';

export interface ManifestBytes {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
  /** Without one it is pushed by its digest alone. */
  readonly tag?: string | undefined;
}

/**
 * Stores a manifest as it is (distribution-spec: Pushing Manifests).
 *
 * @returns the subject that the registry says it has taken into its list of referrers, if any
 * @throws {RegistryError} all codes; {@link ContentError} DIGEST_MISMATCH where it stored something else
 */
export async function putManifest(
  mirrors: MirrorList,
  repository: string,
  manifest: ManifestBytes,
  options: Abortable = {},
): Promise<Digest | undefined> {
  const { tag, digest } = manifest;
  if (tag === undefined || algorithmOf(digest) === 'sha256') {
    return subjectOf(await put(mirrors, repository, { manifest, at: tag ?? digest }, options));
  }
  // By its tag alone the registry would store it under a sha256 digest.
  const response = await put(mirrors, repository, { manifest, at: digest, query: { tag } }, options);
  if (!tagsOf(response).includes(tag)) await put(mirrors, repository, { manifest, at: tag }, options);
  return subjectOf(response);
}

interface Put {
  readonly manifest: ManifestBytes;
  readonly at: string;
  readonly query?: Readonly<Record<string, string>>;
}

async function put(
  mirrors: MirrorList,
  repository: string,
  { manifest, at, query = {} }: Put,
  { signal }: Abortable,
): Promise<HttpResponse> {
  const { bytes, mediaType, digest, tag } = manifest;
  const name = tag === undefined ? `manifest ${shortDigest(digest)} of ` : '';
  const subject = `${name}${mirrors.registry}/${repository}${tag === undefined ? '' : `:${tag}`}`;
  return await mirrors.run({ capability: 'push', signal }, async ({ request }) => {
    let response: HttpResponse;
    try {
      response = await request({
        method: 'PUT',
        repository,
        path: `manifests/${at}`,
        query,
        headers: { 'content-type': mediaType, 'content-length': String(bytes.length) },
        body: () => bytes,
        access: [writing(repository)],
        expected: [200, 201, 202],
        subject,
      });
    } catch (error) {
      throw explained(error);
    }
    await collectBeginning(response);
    checkAnsweredDigest(response, digest);
    return response;
  });
}

/** What the registry's own code says that its status does not. */
function explained(error: unknown): unknown {
  if (!(error instanceof RegistryError) || error.retryable) return error;
  const hint = hintFor(error);
  if (hint === undefined) return error;
  const { code, message, details, cause } = error;
  return new RegistryError(code, message, { cause, details, hint, retryable: isBeingPut(error) });
}

/**
 * Whether another client seems to be putting a blob of the manifest into the repository at the moment:
 * docker-registry writes the link to it in place, and finds a digest in it that is none while that is empty.
 */
function isBeingPut({ details: { registryCodes = [] } }: RegistryError): boolean {
  return registryCodes.includes('MANIFEST_BLOB_UNKNOWN') && registryCodes.includes('DIGEST_INVALID');
}

function hintFor({ details }: RegistryError): string | undefined {
  const { status, registryCodes = [] } = details;
  if (registryCodes.includes('MANIFEST_BLOB_UNKNOWN') || registryCodes.includes('BLOB_UNKNOWN')) {
    return 'The registry lacks something that the manifest names; push its config, layers and manifests first.';
  }
  if (status === 413) return 'The registry takes no manifest as large as this one.';
  return undefined;
}

function subjectOf(response: HttpResponse): Digest | undefined {
  const subject = response.header('oci-subject')?.trim();
  return isDigest(subject) ? subject : undefined;
}

function tagsOf(response: HttpResponse): string[] {
  return response.headers('oci-tag').flatMap((line) => line.split(',').map((tag) => tag.trim()));
}

/** What a registry says of a manifest that it has, as far as it does. */
interface Stored {
  readonly mediaType: string;
  readonly digest: Digest | undefined;
  readonly size: number | undefined;
}

/**
 * How those answer that have no such manifest, refuse HEAD, or refuse to be read at all; of the last, the PUT
 * then says why.
 */
const REFUSALS: readonly number[] = [400, 403, 404, 405];

/**
 * What a tag or a digest names where manifests are pushed to, as one HEAD tells it: never at a mirror, which
 * may lag behind. Undefined where it names nothing, or the registry says too little of it.
 *
 * @throws {RegistryError} all codes but NOT_FOUND
 */
export async function storedManifest(
  mirrors: MirrorList,
  repository: string,
  at: string,
  options: Abortable = {},
): Promise<Descriptor | undefined> {
  const {
    mediaType = '',
    digest = isDigest(at) ? at : undefined,
    size = 0,
  } = (await ask(mirrors, repository, at, options)) ?? {};
  return digest === undefined || size === 0 || mediaType === '' ? undefined : { mediaType, digest, size };
}

/** Whether the tag, or the repository, has this manifest. False where the registry says too little. */
export async function hasManifest(
  mirrors: MirrorList,
  repository: string,
  { at, digest }: { readonly at: string; readonly digest: Digest },
  options: Abortable = {},
): Promise<boolean> {
  const stored = await ask(mirrors, repository, at, options);
  if (stored === undefined) return false;
  return stored.digest === digest || (stored.digest === undefined && at === digest);
}

/** By HEAD, and by GET where that fails. Undefined where there is none, or the registry does not say. */
async function ask(
  mirrors: MirrorList,
  repository: string,
  at: string,
  { signal }: Abortable,
): Promise<Stored | undefined> {
  const name = isDigest(at) ? shortDigest(at) : at;
  const subject = `manifest ${name} of ${mirrors.registry}/${repository}`;
  const heads = new HeadRequests();
  return await mirrors.run({ capability: 'push', signal }, async (attempt) => {
    const request = {
      repository,
      path: `manifests/${at}`,
      headers: { accept: ACCEPTED_MANIFEST_TYPES.join(', ') },
      access: [writing(repository)],
      expected: [200, ...REFUSALS],
      subject,
    };
    const head = await heads.send(attempt, request);
    const response = head ?? (await attempt.request({ ...request, method: 'GET' }));
    if (head !== undefined || response.status !== 200) {
      await collectBeginning(response);
      return response.status === 200 ? storedBy(response) : undefined;
    }
    const bytes = await wholeManifest(response, subject);
    const digest = isDigest(at) ? createDigester(at).update(bytes).digest() : digestOf(bytes);
    return { ...storedBy(response), digest, size: bytes.length };
  });
}

function storedBy(response: HttpResponse): Stored {
  const said = response.header('docker-content-digest')?.trim();
  return {
    mediaType: bareMediaType(response.header('content-type') ?? ''),
    digest: isDigest(said) ? said : undefined,
    size: contentLength(response),
  };
}
