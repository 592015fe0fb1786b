import { type Abortable, SpecError } from '../../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  bareMediaType,
  createDigester,
  type Descriptor,
  type Digest,
  digestOf,
  isDigest,
  LIMITS,
  shortDigest,
} from '../../spec/index.js';
import { collectBeginning, collectBody } from '../http/body-source.js';
import { appliedEncoding, contentLength, decodedBody } from '../http/content-encoding.js';
import { ERROR_BODY_BYTES } from '../http/error-response.js';
import { HeadRequests } from '../hosts/head-requests.js';
import type { HttpResponse } from '../http/http.js';
import type { HostChain } from '../hosts/host-chain.js';
import { writing } from './blob-upload.js';

/** What a registry says of a manifest that it has, as far as it does. */
interface Stored {
  readonly mediaType: string;
  readonly digest: Digest | undefined;
  readonly size: number | undefined;
}

/** How those answer that have no such manifest, refuse HEAD, or refuse to be read at all; of the last, the PUT then says why. */
const REFUSALS: readonly number[] = [400, 403, 404, 405];

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
  const {
    mediaType = '',
    digest = isDigest(at) ? at : undefined,
    size = 0,
  } = (await ask(chain, repository, at, options)) ?? {};
  return digest === undefined || size === 0 || mediaType === '' ? undefined : { mediaType, digest, size };
}

/** Whether the tag, or the repository, has this manifest. False where the registry says too little. */
export async function hasManifest(
  chain: HostChain,
  repository: string,
  { at, digest }: { readonly at: string; readonly digest: Digest },
  options: Abortable = {},
): Promise<boolean> {
  const stored = await ask(chain, repository, at, options);
  if (stored === undefined) return false;
  return stored.digest === digest || (stored.digest === undefined && at === digest);
}

/** By HEAD, and by GET where that fails. Undefined where there is none, or the registry does not say. */
async function ask(
  chain: HostChain,
  repository: string,
  at: string,
  { signal }: Abortable,
): Promise<Stored | undefined> {
  const name = isDigest(at) ? shortDigest(at) : at;
  const subject = `manifest ${name} of ${chain.registry}/${repository}`;
  const heads = new HeadRequests();
  return await chain.run({ capability: 'push', signal }, async ({ host, attempt, signal: turnSignal }) => {
    const request = {
      repository,
      path: `manifests/${at}`,
      headers: { accept: ACCEPTED_MANIFEST_TYPES.join(', ') },
      access: [writing(repository)],
      expected: [200, ...REFUSALS],
      subject,
      attempt,
      signal: turnSignal,
    };
    const head = await heads.send(host, request);
    const response = head ?? (await host.request({ ...request, method: 'GET' }));
    if (head !== undefined || response.status !== 200) {
      await collectBeginning(response, ERROR_BODY_BYTES);
      return response.status === 200 ? storedBy(response) : undefined;
    }
    const source = decodedBody(response, appliedEncoding(response, undefined));
    const bytes = await collectBody(source, LIMITS.manifestBytes, () => tooLong(subject));
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

function tooLong(subject: string): SpecError {
  return new SpecError('LIMIT_EXCEEDED', `the ${subject} is longer than ${LIMITS.manifestBytes} bytes`);
}
