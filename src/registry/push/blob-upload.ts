import type { Readable } from 'node:stream';
import { type Abortable, ContentError, RegistryError } from '../../errors.js';
import { algorithmOf, type Descriptor, type Digest, isDigest, isVerifiable } from '../../spec/index.js';
import type { Access, RegistryHost } from '../hosts/registry-host.js';
import { collectBeginning, type HttpResponse, parseUrl, redactUrl } from '../http/http.js';

/** A blob on its way into a repository. */
export interface UploadTarget {
  readonly repository: string;
  readonly descriptor: Descriptor;
  /** The blob, in words. */
  readonly subject: string;
}

export interface UploadTry extends Abortable {
  readonly host: RegistryHost;
  readonly attempt: number;
}

/** The statuses of a begun and of a continued upload; ECR answers 201 before the upload is closed. */
const GOING_ON = [200, 201, 202, 204];
const HEADERS_MS = 60_000;
/**
 * A proxy may keep the whole body until it has come, and a registry may copy the whole blob to close its
 * upload.
 */
const BYTES_PER_MS = 10_000;

/**
 * One upload session at one host (distribution-spec: Pushing a blob monolithically, Pushing a blob in
 * chunks). Each answer may give a new address, and that is where the next request goes. All may throw
 * RegistryError.
 */
export class BlobUpload {
  readonly host: RegistryHost;
  /** Bytes that the registry has, as far as is known. */
  held = 0;
  /** How many bytes each request but the last must have (`OCI-Chunk-Min-Length`). */
  readonly leastChunk: number;
  /** Requests that have carried bytes, and how many the last one did. */
  parts = 0;
  lastBytes = 0;
  readonly #target: UploadTarget;
  #location: URL;

  private constructor(host: RegistryHost, target: UploadTarget, location: URL, leastChunk: number) {
    this.host = host;
    this.#target = target;
    this.#location = location;
    this.leastChunk = leastChunk;
  }

  get subject(): string {
    return this.#target.subject;
  }

  static async begin(target: UploadTarget, attempt: UploadTry): Promise<BlobUpload> {
    const algorithm = algorithmOf(target.descriptor.digest);
    const response = await start(target, attempt, {
      query: algorithm === 'sha256' ? {} : { 'digest-algorithm': algorithm },
      access: [writing(target.repository)],
      expected: [202],
    });
    return BlobUpload.#begun(response, target, attempt);
  }

  /**
   * Asks for the blob of another repository of the same registry (distribution-spec: Mounting a blob from
   * another repository). An upload where the registry would rather have the bytes.
   */
  static async mount(
    from: string,
    target: UploadTarget,
    attempt: UploadTry,
  ): Promise<BlobUpload | 'mounted'> {
    const { digest } = target.descriptor;
    const response = await start(target, attempt, {
      query: { mount: digest, from },
      access: [writing(target.repository), { type: 'repository', name: from, actions: 'pull' }],
      expected: [201, 202],
    });
    if (response.status === 202) return BlobUpload.#begun(response, target, attempt);
    checkAnsweredDigest(response, digest);
    return 'mounted';
  }

  static #begun(response: HttpResponse, target: UploadTarget, { host }: UploadTry): BlobUpload {
    const location = uploadLocation(response, 'POST');
    if (location === undefined) {
      throw new RegistryError('PROTOCOL', `${host.name} does not say where to upload to`, {
        details: { method: 'POST', url: redactUrl(response.url), status: response.status },
      });
    }
    const least = response.header('oci-chunk-min-length')?.trim() ?? '';
    return new BlobUpload(host, target, location, /^\d{1,15}$/.test(least) ? Number(least) : 0);
  }

  /** Sends the bytes from {@link held} to `end`; `piece` makes them, anew each time that it is called. */
  async append(end: number, piece: () => Readable, attempt: UploadTry): Promise<void> {
    const start = this.held;
    const whole = start === 0 && end === this.#target.descriptor.size;
    this.#count(end - start);
    const response = await this.#send('PATCH', this.#location, attempt, {
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(end - start),
        // The whole goes without, as docker sends it: there are registries that take no chunks.
        ...(whole ? {} : { 'content-range': `${start}-${end - 1}` }),
      },
      body: piece,
      bytes: end - start,
      expected: GOING_ON,
    });
    this.#moveTo(response, 'PATCH');
    const held = heldBytes(response) ?? end;
    // Some say `0-0` whatever has come; a registry that kept a part of it says how much.
    this.held = held > start && held < end ? held : end;
  }

  /** Sends all of it and closes the upload in one request. */
  async put(bytes: Buffer, attempt: UploadTry): Promise<void> {
    this.#count(bytes.length);
    await this.#close(attempt, bytes);
  }

  /** Closes the upload of what has been sent. */
  async close(attempt: UploadTry): Promise<void> {
    await this.#close(attempt, undefined);
  }

  /**
   * Asks how much the registry has, and goes on from there. Undefined where it does not know, or not this
   * upload.
   */
  async askHeld(attempt: UploadTry): Promise<number | undefined> {
    let response: HttpResponse;
    try {
      response = await this.#send('GET', this.#location, attempt, {
        headers: {},
        bytes: 0,
        expected: [200, 202, 204],
      });
    } catch (error) {
      if (error instanceof RegistryError && error.details.status !== undefined && !error.retryable)
        return undefined;
      throw error;
    }
    this.#moveTo(response, 'GET');
    const held = heldBytes(response);
    return held !== undefined && held <= this.#target.descriptor.size ? held : undefined;
  }

  /** Lets the registry forget it (distribution-spec: Cancel a blob upload). */
  async cancel(attempt: UploadTry): Promise<void> {
    await this.#send('DELETE', this.#location, attempt, { headers: {}, bytes: 0, expected: GOING_ON });
  }

  async #close(attempt: UploadTry, bytes: Buffer | undefined): Promise<void> {
    const { digest, size } = this.#target.descriptor;
    const response = await this.#send('PUT', closingLocation(this.#location, digest), attempt, {
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(bytes?.length ?? 0),
      },
      ...(bytes === undefined || bytes.length === 0 ? {} : { body: () => bytes }),
      bytes: size,
      // 204 is how distribution's older specification had it.
      expected: [201, 204],
    });
    checkAnsweredDigest(response, digest);
  }

  async #send(
    method: 'GET' | 'PATCH' | 'PUT' | 'DELETE',
    location: URL,
    { attempt, signal }: UploadTry,
    request: {
      readonly headers: Readonly<Record<string, string>>;
      readonly body?: () => Readable | Buffer;
      /** That the registry is to take in or to move before it answers. */
      readonly bytes: number;
      readonly expected: readonly number[];
    },
  ): Promise<HttpResponse> {
    const { repository, subject } = this.#target;
    const { bytes, ...rest } = request;
    const response = await this.host.request({
      ...rest,
      method,
      repository,
      path: '',
      location,
      access: [writing(repository)],
      subject,
      attempt,
      signal,
      patienceMs: HEADERS_MS + Math.ceil(bytes / BYTES_PER_MS),
    });
    await collectBeginning(response);
    return response;
  }

  #count(bytes: number): void {
    this.parts += 1;
    this.lastBytes = bytes;
  }

  #moveTo(response: HttpResponse, method: string): void {
    this.#location = uploadLocation(response, method) ?? this.#location;
  }
}

/** What a token must allow to push into a repository. */
export function writing(repository: string): Access {
  return { type: 'repository', name: repository, actions: 'pull,push' };
}

async function start(
  { repository, subject }: UploadTarget,
  { host, attempt, signal }: UploadTry,
  request: {
    readonly query: Readonly<Record<string, string>>;
    readonly access: readonly Access[];
    readonly expected: readonly number[];
  },
): Promise<HttpResponse> {
  const response = await host.request({
    ...request,
    method: 'POST',
    repository,
    path: 'blobs/uploads/',
    headers: { 'content-length': '0' },
    subject,
    attempt,
    signal,
  });
  await collectBeginning(response);
  return response;
}

/**
 * Where an upload goes on: the `Location` of an answer, absolute or relative (distribution-spec: Pushing a
 * blob monolithically). Undefined where there is none.
 *
 * A registry behind a proxy that ends TLS often gives its own address as `http:`; it is taken for the one
 * that was asked. To go from TLS to another host without TLS is refused.
 *
 * @throws {RegistryError} PROTOCOL, REDIRECT_REFUSED
 */
export function uploadLocation(response: HttpResponse, method: string): URL | undefined {
  const text = response.header('location')?.trim() ?? '';
  if (text === '') return undefined;
  const from = response.url;
  const details = { method, url: redactUrl(from), status: response.status };
  const url = parseUrl(text, from);
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new RegistryError(
      'PROTOCOL',
      `${from.host} gave something as the address of an upload that is none`,
      {
        details,
      },
    );
  }
  if (from.protocol === 'https:' && url.protocol === 'http:') {
    if (url.hostname !== from.hostname) {
      throw new RegistryError(
        'REDIRECT_REFUSED',
        `${from.host} sent an upload from https to plain http at ${url.host}`,
        {
          hint: 'The registry, or a proxy before it, is set up wrongly; ask who runs it.',
          details,
        },
      );
    }
    url.protocol = 'https:';
    url.port = from.port;
  }
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}

/** The address that closes an upload. The query that is there stays as it is, since it may be signed. */
export function closingLocation(location: URL, digest: Digest): URL {
  const closing = new URL(location);
  closing.search = `${location.search === '' ? '?' : `${location.search}&`}digest=${encodeURIComponent(digest)}`;
  return closing;
}

/**
 * How many bytes of an upload the registry holds, by the `Range` of its answer; undefined where it does not
 * say. `0-0` is nothing: distribution writes so for an upload that has not begun, and hardly anybody sends a
 * single byte.
 */
export function heldBytes(response: HttpResponse): number | undefined {
  const last = /^\s*(?:bytes[= ])?0-(\d{1,15})\s*$/i.exec(response.header('range') ?? '')?.[1];
  if (last === undefined) return undefined;
  return last === '0' ? 0 : Number(last) + 1;
}

/**
 * Holds what the registry says it has stored against what it was sent: `Docker-Content-Digest`, and the end
 * of `Location`. A digest of another algorithm says nothing here: some registries answer with sha256 whatever
 * they are given.
 *
 * @throws {ContentError} DIGEST_MISMATCH
 */
export function checkAnsweredDigest(response: HttpResponse, expected: Digest): void {
  const said = [response.header('docker-content-digest')?.trim(), lastComponent(response.header('location'))];
  for (const actual of said) {
    if (!isDigest(actual) || !isVerifiable(actual) || algorithmOf(actual) !== algorithmOf(expected)) continue;
    if (actual === expected) continue;
    throw new ContentError(
      'DIGEST_MISMATCH',
      `${response.url.host} was sent ${expected}, and says that it has stored ${actual}`,
      {
        hint: 'The registry, or a proxy before it, changes pushed bytes; ask its operator.',
        details: { digest: expected, expected, actual },
      },
    );
  }
}

function lastComponent(location: string | undefined): string | undefined {
  const last = /([^/?#]+)(?:[?#].*)?$/.exec(location ?? '')?.[1];
  return last?.replace(/%3a/i, ':');
}
