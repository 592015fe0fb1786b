import type { Abortable } from '../../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  bareMediaType,
  type Descriptor,
  type Digest,
  isDigest,
  shortDigest,
} from '../../spec/index.js';
import { collectBeginning } from '../http/body-source.js';
import { contentLength } from '../http/content-encoding.js';
import { ERROR_BODY_BYTES } from '../http/error-response.js';
import type { HttpResponse } from '../http/http.js';
import type { HostChain } from '../hosts/host-chain.js';
import { writing } from './blob-upload.js';

/**
 * What a tag or a digest names where manifests are pushed to, as one HEAD tells it: never at a mirror, which may lag behind.
 * Undefined where it names nothing, or the registry says too little of it.
 *
 * @throws {RegistryError} all codes but NOT_FOUND
 */
export async function storedManifest(
  chain: HostChain,
  repository: string,
  at: string,
  options: Abortable = {},
): Promise<Descriptor | undefined> {
  const response = await head(chain, repository, at, options);
  if (response === undefined) return undefined;
  const digest = digestOf(response) ?? (isDigest(at) ? at : undefined);
  const size = contentLength(response);
  const mediaType = bareMediaType(response.header('content-type') ?? '');
  return digest === undefined || size === undefined || size === 0 || mediaType === ''
    ? undefined
    : { mediaType, digest, size };
}

/** Whether the tag, or the repository, has this manifest. False where the registry says too little. */
export async function hasManifest(
  chain: HostChain,
  repository: string,
  { at, digest }: { readonly at: string; readonly digest: Digest },
  options: Abortable = {},
): Promise<boolean> {
  const response = await head(chain, repository, at, options);
  if (response === undefined) return false;
  const said = digestOf(response);
  return said === digest || (said === undefined && at === digest);
}

async function head(
  chain: HostChain,
  repository: string,
  at: string,
  { signal }: Abortable,
): Promise<HttpResponse | undefined> {
  const name = isDigest(at) ? shortDigest(at) : at;
  return await chain.run({ capability: 'push', signal }, async ({ host, attempt, signal: turnSignal }) => {
    const response = await host.request({
      method: 'HEAD',
      repository,
      path: `manifests/${at}`,
      headers: { accept: ACCEPTED_MANIFEST_TYPES.join(', ') },
      access: [writing(repository)],
      // Some refuse HEAD, and some refuse to read at all; the PUT then says why, if it is not for that.
      expected: [200, 400, 403, 404, 405],
      subject: `manifest ${name} of ${chain.registry}/${repository}`,
      attempt,
      signal: turnSignal,
    });
    await collectBeginning(response, ERROR_BODY_BYTES);
    return response.status === 200 ? response : undefined;
  });
}

function digestOf(response: HttpResponse): Digest | undefined {
  const said = response.header('docker-content-digest')?.trim();
  return isDigest(said) ? said : undefined;
}
