import type { Readable } from 'node:stream';

import { type Abortable, type LandfallError, RegistryError, SpecError, throwIfAborted } from '../errors.js';
import {
  ACCEPTED_MANIFEST_TYPES,
  type Descriptor,
  type Digest,
  exactSize,
  formatSize,
  isDockerSchema1,
  isIndexType,
  isManifestType,
  isNonDistributable,
  LIMITS,
  shortDigest,
} from '../spec/index.js';
import {
  type BlobBody,
  type BlobPace,
  bodyOf,
  bodyOfPart,
  inlineData,
  type Part,
  type PartBody,
  PartStream,
  type SeenManifests,
} from './blob-body.js';
import type { MirrorList, HostRun, HostAttempt } from './hosts/mirror-list.js';
import type { FailoverOptions } from './hosts/host-health.js';
import { collectBeginning, type HttpResponse, type HttpSender, parseUrl } from './http/http.js';
import { responseError } from './http/error-response.js';
import { sendFollowing } from './http/redirect.js';
import type { RegistryHost } from './hosts/registry-host.js';
import { type RetryOptions, withRetry } from './http/retry.js';

/** Which part of content is wanted. */
export interface FetchOptions extends Abortable {
  /** The first byte wanted. Default 0. */
  readonly offset?: number | undefined;
  /** How many bytes. Default: to the end. */
  readonly length?: number | undefined;
  /** Called before each pause after which a host is asked again. */
  readonly onRetry?: (() => void) | undefined;
}

/** A part of content, as a host gives it. */
export interface FetchedPart {
  /** To be read to its end, or destroyed. */
  readonly body: PartBody;
  /** Bytes that the body gives: what was asked for, or all to the end from a host that knows no ranges. */
  readonly length: number;
}

/**
 * Gets content by its descriptor (distribution-spec: Pulling blobs, Pulling manifests).
 *
 * Resolves at the first byte; until then it retries, and goes from host to host, so that what it rejects with
 * is final: asking again at once is of no use. The stream yields exactly the bytes asked for, or
 * fails: with a retryable RegistryError when the connection broke, the body was short, or the host so slow
 * that another one should go on; after everything that did arrive has been read, so that the caller can ask
 * again from there. The reader ends or destroys the stream. Digests are not verified here: the store does
 * that, since it alone sees all of the bytes.
 */
export interface Fetcher {
  /**
   * The bytes of content, or a part of them, as a stream.
   *
   * @throws {RegistryError} all codes; {ContentError} SIZE_MISMATCH when the content is not as long as the
   *   descriptor says, DIGEST_MISMATCH for content that the descriptor carries itself; {SpecError}
   *   LIMIT_EXCEEDED for a manifest beyond the limit, UNSUPPORTED_MEDIA_TYPE for Docker schema 1
   */
  fetch(descriptor: Descriptor, options?: FetchOptions): Promise<Readable>;
  /**
   * As {@link fetch}, in batches rather than as a stream, and for one of several parts: a host that would
   * send everything anyway is let do so.
   *
   * @throws as {@link fetch}
   */
  fetchPart(descriptor: Descriptor, options: FetchOptions): Promise<FetchedPart>;
  /**
   * Says that what was fetched was not the content, since this was last said. The hosts that sent it are
   * asked for it once more, after all others, and not again once that is wrong too.
   *
   * @returns whether asking again can bring something else. It cannot where no host had sent anything, so
   *   that the descriptor itself is wrong, and where each has been wrong twice.
   * @throws {LandfallError} INVALID_CONFIG where the hosts of the registry cannot be found
   */
  distrust(descriptor: Descriptor): Promise<boolean>;
}

export interface RemoteFetcherOptions {
  readonly mirrors: MirrorList;
  readonly repository: string;
  readonly seen: SeenManifests;
  /** For places that are no registry. */
  readonly transport: HttpSender;
  readonly userAgent: string;
  readonly retry?: RetryOptions | undefined;
  readonly failover?: FailoverOptions | undefined;
  /** Whether the addresses are asked that a descriptor names. */
  readonly foreignUrls?: boolean | undefined;
}

const FOREIGN_HINT =
  'No registry has to hold this layer, and the image names other addresses for it: --foreign-urls has them asked.';

const MIN_BYTES_PER_SECOND = 32 * 1024;
const WINDOW_MS = 10_000;
/** How often a host may send wrong bytes for a blob: once by a mishap on the way. */
const WRONG_BODIES = 2;

/** A host, or an address that a descriptor names. */
type Sender = RegistryHost | string;

export class RemoteFetcher implements Fetcher {
  readonly #options: RemoteFetcherOptions;
  /** Of the content that was not distrusted since. */
  readonly #sentBy = new Map<Digest, Set<Sender>>();
  /** How often each sent content that was distrusted. */
  readonly #wrong = new Map<Digest, Map<Sender, number>>();

  constructor(options: RemoteFetcherOptions) {
    this.#options = options;
  }

  async fetch(descriptor: Descriptor, options: FetchOptions = {}): Promise<Readable> {
    return new PartStream((await this.#fetch(descriptor, options, false)).body);
  }

  async fetchPart(descriptor: Descriptor, options: FetchOptions): Promise<FetchedPart> {
    return await this.#fetch(descriptor, options, true);
  }

  async distrust({ digest, urls = [] }: Descriptor): Promise<boolean> {
    const { mirrors } = this.#options;
    const senders = this.#sentBy.get(digest);
    if (senders === undefined) return false;
    this.#sentBy.delete(digest);
    const wrong = this.#wrong.get(digest) ?? new Map<Sender, number>();
    this.#wrong.set(digest, wrong);
    for (const sender of senders) {
      wrong.set(sender, (wrong.get(sender) ?? 0) + 1);
      if (typeof sender !== 'string') mirrors.leave(sender);
    }
    const liars = this.#liars(digest);
    // Other addresses are asked only where no host has the content.
    const elsewhere = urls.some((url) => senders.has(url)) && urls.some((url) => !liars.has(url));
    return elsewhere || (await mirrors.hasOther('pull', liars));
  }

  /** Those that are not asked for content any more. */
  #liars(digest: Digest): ReadonlySet<Sender> {
    const wrong = this.#wrong.get(digest) ?? [];
    return new Set([...wrong].flatMap(([sender, times]) => (times < WRONG_BODIES ? [] : [sender])));
  }

  async #fetch(descriptor: Descriptor, options: FetchOptions, orMore: boolean): Promise<FetchedPart> {
    const { offset = 0, length = descriptor.size - offset } = options;
    checkPart(descriptor, offset, length);
    const here = length === 0 ? Buffer.alloc(0) : (inlineData(descriptor) ?? this.#seen(descriptor));
    if (here !== undefined) {
      return { body: bodyOf(here.subarray(offset, offset + length)), length };
    }
    const part: Part = { descriptor, offset, length, orMore };
    const body = await this.#fromHosts(part, options).catch((error: unknown) =>
      this.#elsewhere(part, options, error),
    );
    return { body, length: body.wanted };
  }

  async #fromHosts(part: Part, { signal, onRetry }: FetchOptions): Promise<BlobBody> {
    const without = this.#liars(part.descriptor.digest);
    const run: HostRun = { capability: 'pull', blob: true, without, signal, onRetry };
    return await this.#options.mirrors.run(run, async (attempt) => {
      const body = await bodyOfPart(part, {
        request: (range) => this.#request(part, attempt, range),
        attempt: attempt.attempt,
        onProgress: (bytes) => attempt.progressed(bytes),
        onOver: (outcome) => attempt.over(outcome),
        pace: attempt.alternatives ? this.#pace(attempt.host) : undefined,
      });
      await begun(body, part);
      this.#remember(part.descriptor.digest, attempt.host);
      return body;
    });
  }

  async #request(
    { descriptor }: Part,
    { host, request }: HostAttempt,
    range: string | undefined,
  ): Promise<HttpResponse> {
    const { repository } = this.#options;
    const manifest = isManifest(descriptor);
    const { digest, mediaType } = descriptor;
    // Manifests are small, and some registries answer a range of one with a fault.
    const ranged = range !== undefined && !manifest;
    return await request({
      method: 'GET',
      repository,
      path: `${manifest ? 'manifests' : 'blobs'}/${digest}`,
      headers: {
        accept: manifest ? [mediaType, ...ACCEPTED_MANIFEST_TYPES].join(', ') : '*/*',
        ...(ranged ? { range } : {}),
      },
      expected: ranged ? [200, 206, 416] : [200],
      subject: `${manifest ? 'manifest' : 'blob'} ${shortDigest(digest)} of ${host.registry}/${repository}`,
    });
  }

  /** A manifest that came when its tag was resolved. */
  #seen(descriptor: Descriptor): Buffer | undefined {
    const { mirrors, repository, seen } = this.#options;
    return seen.get({ registry: mirrors.registry, repository }, descriptor);
  }

  #pace(host: RegistryHost): BlobPace {
    const { minBytesPerSecond = MIN_BYTES_PER_SECOND, windowMs = WINDOW_MS } = this.#options.failover ?? {};
    return {
      minBytesPerSecond,
      windowMs,
      tooSlow: (rate) =>
        new RegistryError(
          'UNAVAILABLE',
          `${host.name} sends only ${formatSize(Math.round(rate))} per second`,
          {
            retryable: true,
            hint: 'Another host is asked instead; look at what slows this one down.',
          },
        ),
    };
  }

  #remember(digest: Digest, sender: Sender): void {
    const senders = this.#sentBy.get(digest);
    if (senders === undefined) this.#sentBy.set(digest, new Set([sender]));
    else senders.add(sender);
  }

  /**
   * Layers that registries may not keep say where else they are had (image-spec: descriptor.md, `urls`). No
   * host is asked less for that, since a mirror across an air gap has them all the same. No credentials go
   * there.
   */
  async #elsewhere(part: Part, { signal }: FetchOptions, error: unknown): Promise<BlobBody> {
    throwIfAborted(signal);
    const { mediaType, digest, urls = [] } = part.descriptor;
    if (!isNonDistributable(mediaType) || urls.length === 0) throw error;
    if (this.#options.foreignUrls !== true) throw hintingAtUrls(error);
    const liars = this.#liars(digest);
    for (const text of urls) {
      const url = parseUrl(text);
      if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) continue;
      if (liars.has(text)) continue;
      try {
        const body = await withRetry((attempt) => this.#fromUrl(part, url, { attempt, signal }), {
          signal,
          retry: this.#options.retry,
        });
        this.#remember(digest, text);
        return body;
      } catch {
        // The registry's own error is more to the point, and is thrown below.
        throwIfAborted(signal);
      }
    }
    throw error;
  }

  async #fromUrl(
    part: Part,
    url: URL,
    { attempt, signal }: Abortable & { attempt: number },
  ): Promise<BlobBody> {
    const { transport, userAgent } = this.#options;
    const request = async (range: string | undefined): Promise<HttpResponse> => {
      const headers = { 'user-agent': userAgent, 'accept-encoding': 'identity', accept: '*/*' };
      const { response } = await sendFollowing(transport, {
        method: 'GET',
        url,
        headers: { ...headers, ...(range === undefined ? {} : { range }) },
        attempt,
        signal,
      });
      if (response.status === 200 || response.status === 206 || response.status === 416) return response;
      throw await refusedBy(response, part.descriptor);
    };
    const body = await bodyOfPart(part, { request, attempt });
    await begun(body, part);
    return body;
  }
}

/**
 * Resolves at the first byte that is wanted. A reader that is given more than it asked for may not want to
 * wait for that.
 */
async function begun(body: BlobBody, part: Part): Promise<void> {
  await (body.wanted > part.length ? body.begun : body.arrived);
}

async function refusedBy(response: HttpResponse, { digest }: Descriptor): Promise<LandfallError> {
  return responseError({
    method: 'GET',
    response,
    body: await collectBeginning(response),
    subject: `blob ${shortDigest(digest)}`,
    authenticated: false,
    secrets: [],
  });
}

function isManifest({ mediaType }: Pick<Descriptor, 'mediaType'>): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

function checkPart(descriptor: Descriptor, offset: number, length: number): void {
  const { size, mediaType, digest } = descriptor;
  if (
    !Number.isInteger(offset) ||
    !Number.isInteger(length) ||
    offset < 0 ||
    length < 0 ||
    offset + length > size
  ) {
    throw new RegistryError(
      'INVALID_CONFIG',
      `no ${length} bytes from ${offset} in content of ${size} bytes`,
    );
  }
  if (isDockerSchema1(mediaType)) throw schema1Error(`manifest ${shortDigest(digest)}`);
  if (isManifest(descriptor) && size > LIMITS.manifestBytes) {
    throw new SpecError(
      'LIMIT_EXCEEDED',
      `manifest ${shortDigest(digest)} has ${exactSize(size)}, more than ${formatSize(LIMITS.manifestBytes)}`,
    );
  }
}

export function schema1Error(subject: string): SpecError {
  return new SpecError(
    'UNSUPPORTED_MEDIA_TYPE',
    `${subject} is in Docker's schema 1, which is no longer in use`,
    {
      hint: 'Push the image again with a current tool: skopeo copy --format v2s2, or docker push.',
    },
  );
}

/** An error NOT_FOUND, with the option by which the layer may be found. Any other error passes as it is. */
function hintingAtUrls(error: unknown): unknown {
  if (!(error instanceof RegistryError) || error.code !== 'NOT_FOUND') return error;
  const { code, message, details, retryable } = error;
  return new RegistryError(code, message, { cause: error, details, retryable, hint: FOREIGN_HINT });
}
