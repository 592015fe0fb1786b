import { type Abortable, ContentError, RegistryError, SpecError } from '../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  bareMediaType,
  createDigester,
  type Descriptor,
  type Digest,
  digestOf,
  formatReference,
  formatSize,
  isDigest,
  isDockerSchema1,
  isIndexType,
  isManifestType,
  isVerifiable,
  LIMITS,
  MEDIA_TYPES,
  parseManifest,
  type Reference,
} from '../spec/index.js';
import type { SeenManifests } from './blob-body.js';
import { schema1Error } from './fetcher.js';
import { HeadRequests, type MirrorList, type HostAttempt, type AttemptRequest } from './hosts/mirror-list.js';
import {
  appliedEncoding,
  collectBeginning,
  contentLength,
  type HttpResponse,
  redactUrl,
  wholeManifest,
} from './http/http.js';

/**
 * Finds what a reference names at the moment (distribution-spec: Pulling manifests). A digest in the
 * reference is what is asked for, and its tag is then not looked at.
 */
export interface Resolver {
  /**
   * What a tag or a digest stands for; by one HEAD where the registry answers that (distribution-spec:
   * Checking if content exists in the registry). By GET where it fails at that, or `byGet` is set: then the
   * manifest was seen, and the next fetch of it costs no request.
   *
   * @throws {RegistryError} all codes; {ContentError} DIGEST_MISMATCH; {SpecError} LIMIT_EXCEEDED,
   *   INVALID_MANIFEST, UNSUPPORTED_MEDIA_TYPE
   */
  resolve(
    reference: Reference,
    options?: Abortable & { readonly byGet?: boolean | undefined },
  ): Promise<Descriptor>;
}

export interface RemoteResolverOptions {
  readonly mirrorsOf: (registry: string) => MirrorList;
  /** Where manifests that were seen on the way are left. */
  readonly seen: SeenManifests;
}

/** Schema 1 is asked for as well, so that what is there is named rather than said to be absent. */
const ACCEPT = [...ACCEPTED_MANIFEST_TYPES, MEDIA_TYPES.dockerSchema1Signed, MEDIA_TYPES.dockerSchema1].join(
  ', ',
);

/**
 * Asks by HEAD, and by GET where a HEAD is refused or says too little; then the digest is computed from the
 * body.
 */
export class RemoteResolver implements Resolver {
  readonly #options: RemoteResolverOptions;

  constructor(options: RemoteResolverOptions) {
    this.#options = options;
  }

  async resolve(
    reference: Reference,
    { signal, byGet = false }: Abortable & { readonly byGet?: boolean | undefined } = {},
  ): Promise<Descriptor> {
    const mirrors = this.#options.mirrorsOf(reference.registry);
    // What a digest names is the same wherever it is had; what a tag names, only some hosts may say.
    const capability = reference.digest === undefined ? 'resolve' : 'pull';
    const heads = new HeadRequests();
    return await mirrors.run({ capability, signal }, async (attempt) => {
      const known = byGet ? undefined : await this.#head(reference, attempt, heads);
      if (known !== undefined) return known;
      heads.distrust(attempt.host);
      return await this.#get(reference, attempt);
    });
  }

  async #head(
    reference: Reference,
    attempt: HostAttempt,
    heads: HeadRequests,
  ): Promise<Descriptor | undefined> {
    // An answer to HEAD has no body, so GET says better why there is nothing.
    const request = { ...requestFor(reference), expected: [200, 404] };
    const response = await heads.send(attempt, request);
    if (response === undefined) return undefined;
    await collectBeginning(response);
    return response.status === 404 ? undefined : describedByHead(response, reference);
  }

  async #get(reference: Reference, attempt: HostAttempt): Promise<Descriptor> {
    const response = await attempt.request({ ...requestFor(reference), method: 'GET' });
    const body = await wholeManifest(response, `manifest of ${formatReference(reference)}`);
    const contentType = bareMediaType(response.header('content-type') ?? '');
    if (contentType === 'text/html') throw notARegistry(response);
    if (isDockerSchema1(contentType)) throw schema1Error(formatReference(reference));
    const digest = verifiedDigest(body, digestHeader(response), reference);
    // A body that says otherwise is refused: it would be one thing to us and another to the next client.
    const { mediaType } = parseManifest(body, isKnown(contentType) ? contentType : undefined);
    this.#options.seen.add(reference, digest, body);
    return { mediaType, digest, size: body.length };
  }
}

function requestFor(reference: Reference): Omit<AttemptRequest, 'method'> {
  const { repository, tag, digest } = reference;
  return {
    repository,
    path: `manifests/${digest ?? tag ?? 'latest'}`,
    headers: { accept: ACCEPT },
    expected: [200],
    subject: formatReference(reference),
  };
}

function isKnown(mediaType: string): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

/**
 * The descriptor that a HEAD's headers make, or undefined where something is missing or contradicts the
 * reference.
 */
function describedByHead(response: HttpResponse, reference: Reference): Descriptor | undefined {
  const mediaType = bareMediaType(response.header('content-type') ?? '');
  if (isDockerSchema1(mediaType)) throw schema1Error(formatReference(reference));
  const digest = digestHeader(response);
  const size = contentLength(response);
  const encoded = appliedEncoding(response, undefined) !== undefined;
  if (!isKnown(mediaType) || digest === undefined || size === undefined || size === 0 || encoded)
    return undefined;
  if (reference.digest !== undefined && reference.digest !== digest) return undefined;
  if (size > LIMITS.manifestBytes) {
    const what = `the manifest of ${formatReference(reference)}`;
    throw new SpecError('LIMIT_EXCEEDED', `${what} is longer than ${formatSize(LIMITS.manifestBytes)}`);
  }
  return { mediaType, digest, size };
}

/** A digest that cannot be verified is as good as none. */
function digestHeader(response: HttpResponse): Digest | undefined {
  const text = response.header('docker-content-digest')?.trim();
  return isDigest(text) && isVerifiable(text) ? text : undefined;
}

/**
 * The body's digest, held against the one in the reference and the one in the header, whichever there are.
 */
function verifiedDigest(body: Buffer, header: Digest | undefined, reference: Reference): Digest {
  for (const expected of [reference.digest, header]) {
    if (expected === undefined) continue;
    const actual = createDigester(expected).update(body).digest();
    if (actual === expected) continue;
    throw new ContentError(
      'DIGEST_MISMATCH',
      `the manifest of ${formatReference(reference)} has digest ${actual}, not ${expected}`,
      {
        hint: 'The registry, or a proxy before it, has changed the manifest; do not trust it.',
        details: { digest: expected, expected, actual },
      },
    );
  }
  const wanted = reference.digest ?? header;
  return wanted ?? digestOf(body);
}

function notARegistry(response: HttpResponse): RegistryError {
  return new RegistryError('PROTOCOL', `${response.url.host} answers with a web page: it is no registry`, {
    hint: 'Check the host and the port, and that no proxy asks for a login.',
    details: { method: 'GET', url: redactUrl(response.url), status: response.status },
  });
}

/**
 * Whether an error says that a manifest cannot be had as it was described: it is not there, or of another
 * length. Then HEAD was wrong, or the registry has manifests by their tags alone, and GET tells more; see
 * `Resolver.resolve`.
 */
export function isMisdescribed(error: unknown, { digest }: Pick<Descriptor, 'digest'>): boolean {
  if (error instanceof ContentError) {
    return error.code === 'SIZE_MISMATCH' && error.details.digest === digest;
  }
  if (!(error instanceof RegistryError) || (error.code !== 'NOT_FOUND' && error.code !== 'PROTOCOL'))
    return false;
  const { method, url = '' } = error.details;
  return method === 'GET' && url.endsWith(`/manifests/${digest}`);
}
