import { type Abortable, RegistryError } from '../../errors.js';
import { algorithmOf, type Digest, isDigest, shortDigest } from '../../spec/index.js';
import { checkAnsweredDigest } from './answered-digest.js';
import { writing } from './blob-upload.js';
import { collectBeginning } from '../http/body-source.js';
import { ERROR_BODY_BYTES } from '../http/error-response.js';
import type { HostChain } from '../hosts/host-chain.js';
import type { HttpResponse } from '../http/http.js';

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
  chain: HostChain,
  repository: string,
  manifest: ManifestBytes,
  options: Abortable = {},
): Promise<Digest | undefined> {
  const { tag, digest } = manifest;
  if (tag === undefined || algorithmOf(digest) === 'sha256') {
    return subjectOf(await put(chain, repository, { manifest, at: tag ?? digest }, options));
  }
  // By its tag alone the registry would store it under a sha256 digest.
  const response = await put(chain, repository, { manifest, at: digest, query: { tag } }, options);
  if (!tagsOf(response).includes(tag)) await put(chain, repository, { manifest, at: tag }, options);
  return subjectOf(response);
}

interface Put {
  readonly manifest: ManifestBytes;
  readonly at: string;
  readonly query?: Readonly<Record<string, string>>;
}

async function put(
  chain: HostChain,
  repository: string,
  { manifest, at, query = {} }: Put,
  { signal }: Abortable,
): Promise<HttpResponse> {
  const { bytes, mediaType, digest, tag } = manifest;
  const name = tag === undefined ? `manifest ${shortDigest(digest)} of ` : '';
  const subject = `${name}${chain.registry}/${repository}${tag === undefined ? '' : `:${tag}`}`;
  return await chain.run({ capability: 'push', signal }, async ({ host, attempt, signal: turnSignal }) => {
    let response: HttpResponse;
    try {
      response = await host.request({
        method: 'PUT',
        repository,
        path: `manifests/${at}`,
        query,
        headers: { 'content-type': mediaType, 'content-length': String(bytes.length) },
        body: () => bytes,
        access: [writing(repository)],
        expected: [200, 201, 202],
        subject,
        attempt,
        signal: turnSignal,
      });
    } catch (error) {
      throw explained(error);
    }
    await collectBeginning(response, ERROR_BODY_BYTES);
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
 * Whether somebody else seems to be putting a blob of the manifest into the repository at the moment: docker-registry writes the link to
 * it in place, and finds a digest in it that is none while that is empty.
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
